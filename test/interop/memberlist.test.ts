// Real memberlist members of four releases behind fences of both kinds: their rings work at every stage, and foreigners stay out.
import t, { type Test } from 'tap';
import { engineInTurn } from '../lab/engines.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejectedDuring, rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildMember, LABEL_VERSIONS, MEMBERLIST_VERSIONS, type MemberlistVersion } from './build.ts';
import {
  endpointOf,
  exercise,
  type Family,
  FOREIGN_LABEL,
  joinRing,
  LABEL,
  moveTo,
  rawPing,
  STATE_BYTES,
  startMember,
} from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const APP_PORT = 7947;
const OTHER_PORT = 40_001;

t.setTimeout(480_000);
t.jobs = 3;

interface Arm {
  readonly version: MemberlistVersion;
  /** What the app sends and takes, and the wire's dialect. */
  readonly speaks: 'own' | 'none';
  readonly path: 'transparent' | 'listen';
  readonly members: number;
  readonly family: Family;
  /** Which engine the first of its listen fences has; the others take turns from there, so that each ring has both. */
  readonly firstEngine: number;
}

const STAGES = ['observe', 'accept', 'label', 'enforce'] as const;
type Stage = (typeof STAGES)[number];

/** A listen fence does not see what its app sends, so an unlabelled app stays at accept. */
const stagesOf = ({ speaks, path }: Arm): readonly Stage[] =>
  path === 'listen' && speaks === 'none' ? ['observe', 'accept'] : STAGES;

function fenceConfig({ speaks, path, family }: Arm, host: Host, cidrs: readonly string[]): object {
  const app = {
    sends: speaks,
    takes: speaks,
    ...(path === 'listen' ? { address: endpointOf(host, family, APP_PORT) } : {}),
  };
  const where = path === 'listen' ? { listen: endpointOf(host, family) } : { transparent: { port: GOSSIP_PORT } };
  return {
    fences: [{ name: 'gossip', cluster: LABEL, stage: 'observe', wire: speaks, ...where, app, admit: { cidrs } }],
  };
}

function startFence(arm: Arm, host: Host, i: number, cidrs: readonly string[]): Promise<Fence> {
  const engine = arm.path === 'listen' ? engineInTurn(arm.firstEngine + i) : 'linux';
  return host.fence(fenceConfig(arm, host, cidrs), { engine });
}

interface Scene {
  readonly arm: Arm;
  readonly ring: readonly Peer[];
  readonly fences: ReadonlyMap<Host, Fence>;
  /** Admitted, and no member. */
  readonly friend: Host;
  readonly bare: Peer;
  readonly other: Peer;
}

async function setTheScene(lab: Lab, arm: Arm): Promise<Scene> {
  const { version, speaks, path, family } = arm;
  const hosts = ['one', 'two', 'three'].slice(0, arm.members).map((name) => lab.addHost(name));
  const [friend, bareHost, otherHost] = ['friend', 'bare', 'other'].map((name) => lab.addHost(name)) as [
    Host,
    Host,
    Host,
  ];
  const cidrs = [...hosts, friend].map((host) => host[family]);
  const fences = new Map(
    await Promise.all(hosts.map(async (host, i) => [host, await startFence(arm, host, i, cidrs)] as const)),
  );
  const app = {
    version,
    family,
    stateBytes: STATE_BYTES,
    compress: speaks === 'own',
    ...(speaks === 'own' ? { label: LABEL } : {}),
    ...(path === 'listen' ? { port: APP_PORT } : {}),
  };
  const ring = await Promise.all(hosts.map((host) => startMember(lab, host, app)));
  await Promise.all([...fences.values()].map((fence) => fence.waitUntil('ready')));
  const bare = await startMember(lab, bareHost, { version, family });
  const other = await startMember(lab, otherHost, { version: 'v0.6.0', family, label: FOREIGN_LABEL });
  return { arm, ring, fences, friend, bare, other };
}

/** A ping without Source* is answered to where it came from, from where it was sent to, in the wire's dialect of the stage. */
async function pingWithoutSource(t: Test, { arm, ring, friend }: Scene, stage: Stage): Promise<void> {
  const to = ring[0] as Peer;
  const { version, speaks, family } = arm;
  const labelled = stage === 'enforce' || (stage === 'observe' && speaks === 'own');
  const wire = speaks === 'own' || stage === 'label' || stage === 'enforce' ? LABEL : '';
  for (const port of [GOSSIP_PORT, OTHER_PORT]) {
    const ack = await rawPing({ version, family, from: friend, to, port, ...(labelled ? { label: LABEL } : {}) });
    t.strictSame(ack, { from: to.endpoint, label: wire }, `${stage}: a ping without Source* from port ${port}`);
  }
}

/** Everyone who does not belong tries to get in, and ours try to get out to them. */
async function intrude({ arm, ring, bare, other }: Scene): Promise<{ readonly refusals: readonly string[] }> {
  const to = ring[0] as Peer;
  const refusals: string[] = [];
  const join = async (who: Peer, whom: Peer) => {
    const { ok, error } = await who.command(`join ${whom.endpoint}`);
    refusals.push(ok ? `${who.name} joined ${whom.name}` : error);
  };
  const { version, family } = arm;
  await join(bare, to);
  await join(other, to);
  const acks = await Promise.all([
    rawPing({ version, family, from: bare.host, to, port: OTHER_PORT }),
    rawPing({ version, family, from: other.host, to, port: OTHER_PORT, label: FOREIGN_LABEL }),
  ]);
  for (const ack of acks) if (ack !== undefined) refusals.push(`answered ${JSON.stringify(ack)}`);
  if (arm.path === 'transparent') {
    await join(to, bare);
    await join(to, other);
  }
  return { refusals };
}

async function intrusion(t: Test, scene: Scene, stage: Stage): Promise<void> {
  const { arm, ring, fences, bare, other } = scene;
  const [fence, ...others] = [...fences.values()] as [Fence, ...Fence[]];
  let refusals: readonly string[] = [];
  const grown = await rejectedDuring(fence, async () => {
    ({ refusals } = await intrude(scene));
  });
  const unlabelled = stage === 'enforce' ? 'label_missing' : 'peer_not_admitted';
  const outbound = {
    'outbound native stream peer_not_admitted': 1,
    // It lately showed its label at our door.
    'outbound native stream peer_foreign': 1,
  };
  t.strictSame(
    grown,
    {
      [`inbound native stream ${unlabelled}`]: 1,
      'inbound native stream label_foreign': 1,
      [`inbound native packet ${unlabelled}`]: 1,
      'inbound native packet label_foreign': 1,
      ...(arm.path === 'transparent' ? outbound : {}),
    },
    `${stage}: the counters say exactly who was rejected, and why`,
  );
  for (const refusal of refusals) t.match(refusal, /remote error: ringfence: /, `${stage}: the dialler is told`);
  t.equal(refusals.length, arm.path === 'transparent' ? 4 : 2, `${stage}: and got no other answer`);
  for (const each of others) t.strictSame(await rejections(each), {}, `${stage}: the others were left alone`);
  const names = ring.map(({ name }) => name).toSorted();
  for (const peer of ring) t.strictSame(await peer.members(), names, `${stage}: ${peer.name} sees its own ring only`);
  for (const peer of [bare, other]) t.strictSame(await peer.members(), [peer.name], `${stage}: ${peer.name} is alone`);
}

async function runArm(t: Test, arm: Arm): Promise<void> {
  const lab = createLab({ name: `m${arm.path[0]}${arm.speaks}${arm.version.replaceAll('.', '')}` });
  t.teardown(() => lab.close());
  const scene = await setTheScene(lab, arm);
  const { ring, fences } = scene;
  await joinRing(ring);
  const names = ring.map(({ name }) => name).toSorted();
  for (const stage of stagesOf(arm)) {
    if (stage !== 'observe') await moveTo(stage, fences);
    await exercise(t, ring[0] as Peer, ring.at(-1) as Peer, stage);
    await pingWithoutSource(t, scene, stage);
    if (stage !== 'observe') await intrusion(t, scene, stage);
    for (const peer of ring) t.strictSame(await peer.members(), names, `${stage}: ${peer.name} sees the ring`);
  }
  for (const peer of ring) {
    t.strictSame(peer.events('suspect'), [], `${peer.name} suspected nobody`);
    t.strictSame(peer.events('leave'), [], `${peer.name} lost nobody`);
  }
  if (arm.path === 'transparent' && arm.speaks === 'none') {
    const fence = fences.values().next().value as Fence;
    t.ok(
      (await fence.metric('oversize_packets_total')) > 0,
      'datagrams that a label made too long were counted, and arrived',
    );
  }
}

t.before(async () => {
  if (skip === false) for (const version of MEMBERLIST_VERSIONS) await buildMember(version);
});

for (const version of ['v0.6.0', 'v0.2.2'] as const) {
  t.test(`control, bare ${version}: one join merges`, { skip }, async (t) => {
    const lab = createLab({ name: `mctl${version.replaceAll('.', '')}` });
    t.teardown(() => lab.close());
    const hosts = ['one', 'two', 'bare'].map((name) => lab.addHost(name));
    const [one, two, bare] = (await Promise.all(hosts.map((host) => startMember(lab, host, { version })))) as [
      Peer,
      Peer,
      Peer,
    ];
    await joinRing([one, two]);
    t.ok((await bare.command(`join ${one.endpoint}`)).ok, 'the foreigner joins');
    for (const peer of [one, two, bare]) {
      await t.resolves(peer.waitForMembers(['one', 'two', 'bare'], 10_000), `${peer.name} sees the merged ring`);
    }
  });
}

for (const path of ['transparent', 'listen'] as const) {
  const arms: Arm[] = [];
  for (const version of MEMBERLIST_VERSIONS) {
    const members = path === 'transparent' && version === 'v0.6.0' ? 3 : 2;
    const family = version === 'v0.5.0' ? 'ipv6' : 'ipv4';
    arms.push({ version, speaks: 'none', path, members, family, firstEngine: arms.length });
  }
  for (const version of LABEL_VERSIONS) {
    const family = version === 'v0.5.0' ? 'ipv6' : 'ipv4';
    arms.push({ version, speaks: 'own', path, members: 2, family, firstEngine: arms.length });
  }
  for (const arm of arms) {
    const { version, speaks, members, family, firstEngine } = arm;
    const engine = path === 'listen' ? `, ${engineInTurn(firstEngine)} first` : '';
    const title = `${speaks}/${speaks}: ${version}, ${members} members behind ${path} fences, ${family}${engine}`;
    t.test(title, { skip }, (t) => runArm(t, arm));
  }
}
