// One encrypted ring of fenced members that predate labels, which seal without associated data, and bare native ones, which seal with
// their label: apart and told so without keys, one ring with keys and reseal, through a change of keys.
import t from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember } from './build.ts';
import { liveAsOneRing, setTheScene } from './encrypted-ring.ts';
import { joinRing } from './members.ts';
import { eventually } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);

/** Each member is probed by each other several times; test/long watches longer. */
const QUIET_MS = 12_000;

t.setTimeout(240_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) for (const version of ['v0.6.0', 'v0.2.2'] as const) await buildMember(version);
});

interface SealedRow {
  readonly address: string;
  readonly sealed: { readonly state: string; readonly byApp: string; readonly byPeer: string; readonly frames: string };
}

async function sealedPeers(fence: Fence): Promise<Readonly<Record<string, SealedRow['sealed']>>> {
  const { fences } = (await fence.get('/api/v1/peers')) as { fences: { peers: SealedRow[] }[] };
  const rows = fences.flatMap(({ peers }) => peers).filter(({ sealed }) => sealed !== null);
  return Object.fromEntries(rows.map(({ address, sealed }) => [address, sealed]));
}

t.test('without keys the two kinds are told apart, and nothing is lost silently', { skip }, async (t) => {
  const lab = createLab({ name: 'sealapart' });
  t.teardown(() => lab.close());
  const { old, native, fences } = await setTheScene(lab, { stateBytes: 1_000 });
  await joinRing(old);
  await joinRing(native);
  t.notOk((await old[0].command(`join ${native[0].endpoint}`)).ok, 'an old member cannot join the native ones');
  t.notOk((await native[1].command(`join ${old[0].endpoint}`)).ok, 'nor the other way round');
  const [fence] = fences;
  await eventually('what the first fence knows', 10_000, async () => {
    const seen = await sealedPeers(fence);
    const states = [old[1], native[0], native[1]].map(({ host }) => seen[host.ipv4]?.state);
    return `${states}` === 'together,apart,apart' ? undefined : JSON.stringify(seen);
  });
  const seen = await sealedPeers(fence);
  t.match(
    seen[native[0].host.ipv4],
    { byPeer: 'refused', byApp: 'unknown' },
    'native1 could not open what old1 sealed',
  );
  t.match(seen[native[1].host.ipv4], { byApp: 'refused', frames: 'labelled' }, 'old1 could not open native2');
  t.equal(await fence.metric('sealed_peers', { state: 'apart' }), 2);
  t.equal(await fence.metric('sealed_peers', { state: 'together' }), 1);
  t.ok(
    fence.lines().some((line) => line.includes('"gossip_sealed_apart"')),
    'the log says it',
  );
  const status = JSON.stringify(await fence.status());
  t.match(status, /2 peers are apart from the app .* no keys/, 'and so does the status');
  t.strictSame(await rejections(fence), {}, 'nothing was rejected for it');
  await t.resolves(old[0].waitForMembers(['old1', 'old2'], 1_000), 'each kind is a ring of its own');
  await t.resolves(native[0].waitForMembers(['native1', 'native2'], 1_000));
});

t.test('with keys and reseal they are one ring, through a change of keys', { skip }, (t) =>
  liveAsOneRing(t, 'sealring', QUIET_MS),
);
