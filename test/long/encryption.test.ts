// The mixed encrypted ring of test/interop, watched for five minutes: probes, gossip and push/pulls of every member with every other.
import t from 'tap';
import { buildMember } from '../interop/build.ts';
import { liveAsOneRing } from '../interop/encrypted-ring.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const QUIET_MS = 300_000;

t.setTimeout(600_000);

t.test('five minutes without suspicion', { skip }, async (t) => {
  for (const version of ['v0.6.0', 'v0.2.2'] as const) await buildMember(version);
  await liveAsOneRing(t, 'seallong', QUIET_MS);
});
