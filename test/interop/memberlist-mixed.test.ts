// A fenced member and an unfenced one in one ring: what the design says may live together, with real members of different ages.
import t from 'tap';
import { createLab, type Host } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember, MEMBERLIST_VERSIONS, type MemberlistVersion } from './build.ts';
import { exercise, joinRing, LABEL, STATE_BYTES, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);

t.setTimeout(480_000);
t.jobs = 3;

interface Side {
  readonly version: MemberlistVersion;
  readonly label?: string;
  readonly skipCheck?: boolean;
}

interface Mix {
  readonly fenced: Side;
  readonly stage: string;
  readonly wire: 'none' | 'own';
  readonly bare: Side;
}

const OLD: Side = { version: 'v0.2.2' };
const NATIVE: Side = { version: 'v0.6.0', label: LABEL };

const SKIPS: Side = { ...NATIVE, skipCheck: true };

const MIXES: readonly Mix[] = [
  { fenced: OLD, stage: 'accept', wire: 'none', bare: OLD },
  { fenced: OLD, stage: 'label', wire: 'none', bare: NATIVE },
  { fenced: OLD, stage: 'enforce', wire: 'none', bare: NATIVE },
  { fenced: OLD, stage: 'accept', wire: 'own', bare: NATIVE },
  { fenced: NATIVE, stage: 'accept', wire: 'none', bare: OLD },
  { fenced: SKIPS, stage: 'enforce', wire: 'own', bare: NATIVE },
];

const named = ({ version, label, skipCheck }: Side) =>
  `${version} ${label === undefined ? 'without a label' : `with the label${skipCheck ? ' that takes none' : ''}`}`;

t.before(async () => {
  if (skip === false) for (const version of MEMBERLIST_VERSIONS) await buildMember(version);
});

for (const [i, stranger] of [OLD, SKIPS].entries()) {
  t.test(`control: without a fence, ${named(stranger)} and a labelled one cannot meet`, { skip }, async (t) => {
    const lab = createLab({ name: `mixctl${i}` });
    t.teardown(() => lab.close());
    const [one, two] = [lab.addHost('one'), lab.addHost('two')];
    const [strange, native] = [await startMember(lab, one, stranger), await startMember(lab, two, NATIVE)];
    t.notOk((await native.command(`join ${strange.endpoint}`)).ok);
    if (stranger.label === undefined) t.notOk((await strange.command(`join ${native.endpoint}`)).ok);
  });
}

for (const [i, { fenced, stage, wire, bare }] of MIXES.entries()) {
  const title = `${named(fenced)} behind a fence at ${stage}, wire ${wire}, and a bare ${named(bare)}`;
  t.test(title, { skip }, async (t) => {
    const lab = createLab({ name: `mix${i}` });
    t.teardown(() => lab.close());
    const [one, two] = [lab.addHost('one'), lab.addHost('two')] as [Host, Host];
    const sends = fenced.label === undefined ? 'none' : 'own';
    const takes = fenced.skipCheck ? 'none' : sends;
    const fence = await one.fence({
      fences: [
        {
          ...{ name: 'gossip', cluster: LABEL, stage, wire, transparent: { port: GOSSIP_PORT } },
          ...{ app: { sends, takes }, admit: { cidrs: [two.ipv4] } },
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
