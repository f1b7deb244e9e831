// The shield against the attacks of one table: each ends the release that it names when it comes bare, over UDP or TCP, and one member
// of each release lives through all of them behind a fence.
import t, { type Test } from 'tap';
import { type EngineName, overEngines } from '../lab/engines.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejectedDuring } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { ATTACKS, type Attack, pushPullOf, rowOf } from '../policy/attacks.ts';
import { endsBare, livesBehind } from './attack-runs.ts';
import { buildMember, type MemberlistVersion } from './build.ts';
import { LABEL, rawPing } from './members.ts';
import { eventually, GOSSIP_PORT, type Peer } from './peers.ts';
import { APP_PORT, peakMb, send, startVictim } from './victims.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const RELEASES = ['v0.6.0', 'v0.5.0', 'v0.2.2'] as const satisfies readonly MemberlistVersion[];
/** Go's stack takes a while to reach its limit of a gigabyte. */
const END_TIMEOUT_MS = 40_000;
const COUNT_TIMEOUT_MS = 10_000;
/** What a member needs for living, and for the fence's own frames: measured 8 to 14 MB. */
const QUIET_MB = 30;
const BALLOON_MB = 100;

t.setTimeout(240_000);
t.jobs = 2;

const wayOf = ({ kind }: Attack) => (kind === 'packet' ? 'udp' : 'tcp');

t.before(async () => {
  if (skip === false) for (const release of RELEASES) await buildMember(release);
});

for (const release of RELEASES) {
  t.test(`bare, ${release} ends`, { skip }, async (t) => {
    const lab = createLab({ name: `shb${release.replaceAll('.', '')}` });
    t.teardown(() => lab.close());
    const [attacker, host] = ['attacker', 'victim'].map((name) => lab.addHost(name)) as [Host, Host];
    const stand = { lab, attacker, host, program: await buildMember(release), wayOf };
    const fatal = ATTACKS.filter(({ ends }) => ends.includes(release));
    for (const attack of fatal) await endsBare(t, stand, attack, END_TIMEOUT_MS);
  });

  const behind = async (t: Test, engine: EngineName) => {
    const lab = createLab({ name: `shf${engine[0]}${release.replaceAll('.', '')}` });
    t.teardown(() => lab.close());
    const [attacker, host] = ['attacker', 'victim'].map((name) => lab.addHost(name)) as [Host, Host];
    const fence = await fenceOf(host, engine, [attacker]);
    const stand = { lab, attacker, host, program: await buildMember(release), wayOf };
    const placeOf = ({ kind }: Attack) => `native ${kind}`;
    await livesBehind(t, stand, fence, { ways: ['udp', 'tcp'], placeOf, quietMb: QUIET_MB });
    const to = { name: 'victim', endpoint: `${host.ipv4}:${GOSSIP_PORT}` } as Peer;
    t.ok(await rawPing({ version: release, from: attacker, to, port: 40_001 }), 'and answers');
  };
  overEngines(t, `behind a fence, ${release} lives`, behind, { skip });
}

t.test('row 3: a join without versions harms nobody, a Merge delegate or not', { skip }, async (t) => {
  const lab = createLab({ name: 'shjoin' });
  t.teardown(() => lab.close());
  const [attacker, host] = ['attacker', 'victim'].map((name) => lab.addHost(name)) as [Host, Host];
  const victim = await startVictim(lab, host, await buildMember('v0.6.0'), GOSSIP_PORT, ['-merge']);
  await send(lab, attacker, host, 'tcp', [pushPullOf(true, rowOf(new Uint8Array(0)))], 1_000);
  await t.resolves(victim.waitFor(/protocol version \(0\) is incompatible/, COUNT_TIMEOUT_MS), 'memberlist refuses it');
  t.ok(victim.running());
});

type Fence = Awaited<ReturnType<Host['fence']>>;

function fenceOf(host: Host, engine: EngineName, admitted: readonly Host[], over: object = {}): Promise<Fence> {
  const fence = {
    name: 'gossip',
    cluster: LABEL,
    stage: 'accept',
    wire: 'none',
    listen: `${host.ipv4}:${GOSSIP_PORT}`,
    app: { address: `${host.ipv4}:${APP_PORT}`, sends: 'none', takes: 'none' },
    admit: { cidrs: [host, ...admitted].map(({ ipv4 }) => ipv4) },
    ...over,
  };
  return host.fence({ fences: [fence] }, { engine });
}

/** Two hosts with v0.6.0, one bare and one behind a fence, and who attacks them. */
async function pairOf(lab: Lab, engine: EngineName) {
  const [attacker, bareHost, host] = ['attacker', 'bare', 'victim'].map((name) => lab.addHost(name)) as [
    Host,
    Host,
    Host,
  ];
  const fence = await fenceOf(host, engine, [attacker]);
  const program = await buildMember('v0.6.0');
  const bare = await startVictim(lab, bareHost, program, GOSSIP_PORT);
  const fenced = await startVictim(lab, host, program, APP_PORT);
  await fence.waitUntil('ready');
  return { attacker, bareHost, host, bare, fenced, fence };
}

const balloon = async (t: Test, engine: EngineName) => {
  const lab = createLab({ name: `shbomb${engine[0]}` });
  t.teardown(() => lab.close());
  const { attacker, bareHost, host, bare, fenced } = await pairOf(lab, engine);
  const bomb = (ATTACKS.find(({ row }) => row === 6) as Attack).bytes();
  t.ok(bomb.length < 65_507, `${bomb.length} bytes`);
  for (const to of [bareHost, host]) await send(lab, attacker, to, 'udp', [bomb]);
  const grown = async () => (peakMb(bare) > BALLOON_MB ? undefined : `${peakMb(bare)} MB`);
  await t.resolves(eventually('it balloons', COUNT_TIMEOUT_MS, grown), `bare it has ${peakMb(bare)} MB`);
  t.ok(peakMb(fenced) < QUIET_MB, `behind the fence ${peakMb(fenced)} MB`);
};
overEngines(t, 'row 6: one datagram makes a bare member balloon', balloon, { skip });

const atOnce = async (t: Test, engine: EngineName) => {
  const lab = createLab({ name: `shmem${engine[0]}` });
  t.teardown(() => lab.close());
  const attacker = lab.addHost('attacker');
  const [bareHost, host] = ['bare', 'victim'].map((name) => lab.addHost(name)) as [Host, Host];
  const announced = 64 * 1024 * 1024;
  const fence = await fenceOf(host, engine, [attacker], { limits: { announcedBytes: announced, hold: '2s' } });
  const program = await buildMember('v0.6.0');
  const bare = await startVictim(lab, bareHost, program, GOSSIP_PORT);
  const fenced = await startVictim(lab, host, program, APP_PORT);
  await fence.waitUntil('ready');
  const message = Buffer.concat([
    Buffer.from('0881aa557365724d73674c656ece01400000', 'hex'),
    Buffer.alloc(19 * 1024 * 1024, 1),
  ]);
  const frames = Array.from({ length: 12 }, () => message);
  const grown = await rejectedDuring(fence, async () => {
    await Promise.all([bareHost, host].map((to) => send(lab, attacker, to, 'tcp', frames, 8_000)));
  });
  t.ok(peakMb(bare) > 200, `bare, twelve of them take ${peakMb(bare)} MB`);
  t.ok(peakMb(fenced) < 110, `behind a fence that lets 64 MB be announced, ${peakMb(fenced)} MB`);
  // One peer has a quarter of the room, and a single stream may always go on.
  t.strictSame(grown, { 'inbound native stream shield_memory': 11 }, 'one finds room, the others are turned away');
};
overEngines(t, 'row 8: user messages of 20 MiB at once', atOnce, { skip });

const reflect = async (t: Test, engine: EngineName) => {
  const lab = createLab({ name: `shref${engine[0]}` });
  t.teardown(() => lab.close());
  const { attacker, bareHost, host, fence } = await pairOf(lab, engine);
  const target = lab.addHost('target');
  const script =
    "require('node:dgram').createSocket('udp4').on('message',(_, {address}) => console.log('hit by', address)).bind(5353)";
  const listener = target.spawn(process.execPath, ['-e', script]);
  await eventually('the target listens', 5_000, () =>
    target.tryExec('ss', ['-lun']).output.includes(':5353') ? undefined : 'not yet',
  );
  const address = Buffer.from(target.ipv4.split('.').map(Number)).toString('hex');
  const ping = Buffer.from(`0083a55365714e6f01aa536f7572636541646472a4${address}aa536f75726365506f7274cd14e9`, 'hex');
  const probe = Buffer.from(`0184a55365714e6f01a6546172676574a4${address}a4506f7274cd14e9a44e6f6465a0`, 'hex');
  await send(lab, attacker, bareHost, 'udp', [ping, probe]);
  await t.resolves(listener.waitFor(new RegExp(`hit by ${bareHost.ipv4}`), 5_000), 'a bare member hits the target');
  const grown = await rejectedDuring(fence, async () => {
    await send(lab, attacker, host, 'udp', [ping, probe]);
    const seen = () => fence.metric('rejected_total', { reason: 'shield_reflection' });
    await eventually('both are counted', COUNT_TIMEOUT_MS, async () => ((await seen()) >= 2 ? undefined : 'not yet'));
  });
  t.strictSame(grown, { 'inbound native packet shield_reflection': 2 });
  t.notOk(
    listener.lines().some((line) => line.includes(host.ipv4)),
    'behind a fence nothing does',
  );
};
overEngines(t, 'row 12: an answer to whom the sender names', reflect, { skip });
