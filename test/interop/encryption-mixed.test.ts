// Two members in an encrypted ring whose fences have the keys: every pair of kinds that seals in unlike forms, both ways.
import t from 'tap';
import { createLab, type Host } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember, MEMBERLIST_VERSIONS, type MemberlistVersion } from './build.ts';
import { exercise, joinRing, LABEL, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const KEY = Buffer.alloc(24, 'twenty-four bytes of key').toString('base64');
const STATE_BYTES = 300_000;
/** A few probes each way. */
const QUIET_MS = 4_000;

t.setTimeout(240_000);
t.jobs = 2;

interface Side {
  readonly version: MemberlistVersion;
  readonly label?: string;
  readonly skipCheck?: boolean;
  /** Undefined: bare. */
  readonly fence?: { readonly stage: string; readonly wire: 'none' | 'own'; readonly reseal: 'on' | 'off' };
}

interface Mix {
  readonly name: string;
  /** Whether the fenced app reads another form than arrives. */
  readonly reforms: boolean;
  readonly sides: readonly [Side, Side];
}

const OLD: Side = { version: 'v0.2.2' };
const NATIVE: Side = { version: 'v0.6.0', label: LABEL };

const MIXES: readonly Mix[] = [
  {
    name: 'a fenced native one among bare old ones',
    reforms: true,
    sides: [{ ...NATIVE, fence: { stage: 'accept', wire: 'none', reseal: 'on' } }, OLD],
  },
  {
    name: 'a fenced one that skips the label check among bare native ones',
    reforms: false,
    sides: [{ ...NATIVE, skipCheck: true, fence: { stage: 'enforce', wire: 'own', reseal: 'on' } }, NATIVE],
  },
  {
    name: 'a fenced old one joins a ring that is labelled already',
    reforms: true,
    sides: [
      { ...OLD, fence: { stage: 'enforce', wire: 'own', reseal: 'on' } },
      { ...NATIVE, version: 'v0.3.1' },
    ],
  },
  {
    name: 'an old and a native one, both fenced, nothing sealed anew for the wire',
    reforms: true,
    sides: [
      { ...OLD, fence: { stage: 'enforce', wire: 'none', reseal: 'off' } },
      { ...NATIVE, fence: { stage: 'enforce', wire: 'none', reseal: 'off' } },
    ],
  },
];

t.before(async () => {
  if (skip === false) for (const version of MEMBERLIST_VERSIONS) await buildMember(version);
});

for (const [i, { name, sides, reforms }] of MIXES.entries()) {
  t.test(name, { skip }, async (t) => {
    const lab = createLab({ name: `sealmix${i}` });
    t.teardown(() => lab.close());
    const keyFile = lab.file('keys', JSON.stringify([KEY]));
    const hosts = [lab.addHost('one'), lab.addHost('two')] as [Host, Host];
    const cidrs = hosts.map(({ ipv4 }) => ipv4);
    const start = async (host: Host, { fence: settings, ...app }: Side) => {
      const options = { ...app, keys: [KEY], stateBytes: STATE_BYTES };
      if (settings === undefined) return { member: await startMember(lab, host, options), fence: undefined };
      const { reseal, ...stage } = settings;
      const sends = app.label === undefined ? 'none' : 'own';
      const takes = app.skipCheck === true ? 'none' : sends;
      const encryption = { keyFiles: [keyFile], reseal };
      const config = { name: 'gossip', cluster: LABEL, transparent: { port: GOSSIP_PORT }, app: { sends, takes } };
      const fence = await host.fence({ fences: [{ ...config, ...stage, admit: { cidrs }, encryption }] });
      const member = await startMember(lab, host, options);
      await fence.waitUntil('ready');
      return { member, fence };
    };
    const [a, b] = [await start(hosts[0], sides[0]), await start(hosts[1], sides[1])];
    await joinRing([a.member, b.member]);
    await exercise(t, a.member, b.member, 'the second joins the first');
    await exercise(t, b.member, a.member, 'the first joins the second');
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    for (const { member, fence } of [a, b]) {
      t.strictSame(await member.members(), ['one', 'two'], `${member.name} sees both`);
      t.strictSame(member.events('suspect'), [], `${member.name} suspected nobody`);
      if (fence === undefined) continue;
      t.strictSame(await rejections(fence), {}, 'nothing was rejected');
      t.equal(await fence.metric('sealed_frames_total', { outcome: 'no_key' }), 0, 'every frame was opened');
      const anew = await fence.metric('resealed_frames_total', { direction: 'inbound' });
      t.equal(anew > 0, reforms, 'the app got its own form');
    }
  });
}

t.test('whoever is rejected and has the key is told why, under the key', { skip }, async (t) => {
  const lab = createLab({ name: 'sealtold' });
  t.teardown(() => lab.close());
  const keyFile = lab.file('keys', KEY);
  const [one, two, three] = [lab.addHost('one'), lab.addHost('two'), lab.addHost('three')] as [Host, Host, Host];
  const gossip = { name: 'gossip', cluster: LABEL, stage: 'enforce', transparent: { port: GOSSIP_PORT } };
  const encryption = { keyFiles: [keyFile], reseal: 'on' };
  const fence = await one.fence({ fences: [{ ...gossip, admit: { cidrs: [one.ipv4] }, encryption }] });
  const keys = [KEY];
  const fenced = await startMember(lab, one, { ...OLD, keys });
  const bare = await startMember(lab, two, { ...OLD, keys });
  const foreign = await startMember(lab, three, { ...NATIVE, label: 'traces.other', keys });
  await fence.waitUntil('ready');
  const refusal = async (who: Peer, whom: Peer) => (await who.command(`join ${whom.endpoint}`)).error;
  t.match(await refusal(bare, fenced), /remote error: ringfence: streams without a label are not accepted here/);
  t.match(await refusal(foreign, fenced), /remote error: ringfence: label "traces.other" is not accepted here/);
  t.match(await refusal(fenced, bare), /remote error: ringfence: the peer that was dialled is not admitted/);
});
