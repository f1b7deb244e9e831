// A fenced member and an unfenced one in one ring: what the design says may live together, with real members of different ages.
import t from 'tap';
import { createLab, type Host } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember, MEMBERLIST_VERSIONS, type MemberlistVersion } from './build.ts';
import { exercise, joinRing, LABEL, STATE_BYTES, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);

t.setTimeout(300_000);
t.jobs = 3;

interface Side {
  readonly version: MemberlistVersion;
  readonly label?: string;
}

interface Mix {
  readonly fenced: Side;
  readonly stage: string;
  readonly wire: 'none' | 'own';
  readonly bare: Side;
}

const OLD: Side = { version: 'v0.2.2' };
const NATIVE: Side = { version: 'v0.6.0', label: LABEL };

const MIXES: readonly Mix[] = [
  { fenced: OLD, stage: 'accept', wire: 'none', bare: OLD },
  { fenced: OLD, stage: 'label', wire: 'none', bare: NATIVE },
  { fenced: OLD, stage: 'enforce', wire: 'none', bare: NATIVE },
  { fenced: OLD, stage: 'accept', wire: 'own', bare: NATIVE },
  { fenced: NATIVE, stage: 'accept', wire: 'none', bare: OLD },
];

const named = ({ version, label }: Side) => `${version} ${label === undefined ? 'without a label' : 'with the label'}`;

t.before(async () => {
  if (skip === false) for (const version of MEMBERLIST_VERSIONS) await buildMember(version);
});

t.test('control: without a fence, an old member and a labelled one cannot meet', { skip }, async (t) => {
  const lab = createLab({ name: 'mixctl' });
  t.teardown(() => lab.close());
  const [one, two] = [lab.addHost('one'), lab.addHost('two')];
  const [old, native] = [await startMember(lab, one, OLD), await startMember(lab, two, NATIVE)];
  t.notOk((await native.command(`join ${old.endpoint}`)).ok);
  t.notOk((await old.command(`join ${native.endpoint}`)).ok);
});

for (const [i, { fenced, stage, wire, bare }] of MIXES.entries()) {
  const title = `${named(fenced)} behind a fence at ${stage}, wire ${wire}, and a bare ${named(bare)}`;
  t.test(title, { skip }, async (t) => {
    const lab = createLab({ name: `mix${i}` });
    t.teardown(() => lab.close());
    const [one, two] = [lab.addHost('one'), lab.addHost('two')] as [Host, Host];
    const speaks = fenced.label === undefined ? 'none' : 'own';
    const fence = await one.fence({
      fences: [
        {
          ...{ name: 'gossip', cluster: LABEL, stage, wire, transparent: { port: GOSSIP_PORT } },
          ...{ app: { sends: speaks, takes: speaks }, admit: { cidrs: [two.ipv4] } },
        },
      ],
    });
    const ring: readonly [Peer, Peer] = [
      await startMember(lab, one, { ...fenced, stateBytes: STATE_BYTES }),
      await startMember(lab, two, { ...bare, stateBytes: STATE_BYTES }),
    ];
    await fence.waitUntil('ready');
    await joinRing(ring);
    await exercise(t, ring[0], ring[1], 'the bare one joins');
    await exercise(t, ring[1], ring[0], 'the fenced one joins');
    // A few probe rounds, each way.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    for (const peer of ring) {
      t.strictSame(await peer.members(), ['one', 'two'], `${peer.name} sees both`);
      t.strictSame(peer.events('suspect'), [], `${peer.name} suspected nobody`);
    }
    t.strictSame(await rejections(fence), {}, 'nothing was rejected');
  });
}
