// dskit's memberlist KV, as Tempo builds it (Grafana's memberlist fork over dskit's TCP transport), behind transparent fences.
import t, { type Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { parseMetrics, sumMetric } from '../lab/metrics.ts';
import { rejectedDuring, rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildKv } from './build.ts';
import { GOSSIP_TIMEOUT_MS, instances, RING_KEY, shares } from './kv-peers.ts';
import { GOSSIP_PORT, type Peer, startPeer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const LABEL = 'tempo.prod';
const FOREIGN_LABEL = 'tempo.dev';
/** Long enough for a probe, a push/pull (5 s) and retries of whoever was refused. */
const SETTLE_MS = 7_000;
/** About 200 kB of ring that does not compress: packets of a size that UDP never has. */
const MANY_INSTANCES = 300;
const MANY_BYTES = 150_000;

t.setTimeout(480_000);
t.jobs = 4;

interface Speech {
  readonly label: string;
  /** dskit's cluster_label_verification_disabled. */
  readonly anything?: boolean;
  readonly compression?: 'lzw' | 'snappy' | 'none';
}

const NO_LABEL: Speech = { label: '' };

async function startKv(lab: Lab, host: Host, { label, anything = false, compression = 'lzw' }: Speech): Promise<Peer> {
  const args = ['-bind', host.ipv4, '-port', String(GOSSIP_PORT)];
  if (label !== '') args.push('-cluster-label', label);
  if (anything) args.push('-cluster-label-verification-disabled');
  args.push(...(compression === 'none' ? ['-no-compress'] : ['-compression', compression]));
  return startPeer(lab, host, await buildKv(), args);
}

/** No receiver saw a digest that is not the packet's, in metrics or log, and packets did arrive. */
async function assertDigests(t: Test, peers: readonly Peer[], atLeastBytes = 1): Promise<void> {
  for (const peer of peers) {
    const { text } = (await peer.command('metrics')) as unknown as { text: string };
    // Runtime histograms have their own notation; the transport's counters are plain.
    const samples = parseMetrics(
      text
        .split('\n')
        .filter((line) => line.startsWith('memberlist_tcp_transport_'))
        .join('\n'),
    );
    const count = (name: string) => sumMetric(samples, `memberlist_tcp_transport_${name}_total`);
    t.ok(count('packets_received') > 0, `${peer.name} received ${count('packets_received')} packets`);
    const bytes = count('packets_received_bytes');
    t.ok(bytes >= atLeastBytes, `${peer.name} received ${bytes} bytes of packets`);
    t.equal(count('packets_received_errors'), 0, `${peer.name}: none of them broken`);
    t.equal(count('unknown_connections'), 0, `${peer.name}: no unknown connection`);
    const log = peer.process
      .lines()
      .filter((line) => /digest mismatch|not enough data|unknown message type/.test(line));
    t.strictSame(log, [], `${peer.name}: nor in its log`);
  }
}

t.before(async () => {
  if (skip === false) await buildKv();
});

/** The label of the ring and what the intruder speaks. */
const CONTROLS: readonly (readonly [name: string, ours: Speech, intruder: Speech])[] = [
  ['an unlabelled KV', NO_LABEL, NO_LABEL],
  // cluster_label_verification_disabled lets everyone in, whatever the label.
  ['a KV with another label', { label: LABEL, anything: true }, { label: FOREIGN_LABEL, anything: true }],
];

for (const [i, [name, ours, intruder]] of CONTROLS.entries()) {
  t.test(`control: without fences, one join of ${name} merges`, { skip }, async (t) => {
    const lab = createLab({ name: `dkctl${i}` });
    t.teardown(() => lab.close());
    const hosts = ['one', 'two', 'bare'].map((name) => lab.addHost(name));
    const speakers = [ours, ours, intruder];
    const peers = await Promise.all(hosts.map((host, n) => startKv(lab, host, speakers[n] ?? intruder)));
    const [one, two, bare] = peers as [Peer, Peer, Peer];
    t.ok((await two.command(`join ${one.endpoint}`)).ok);
    await shares(t, one, two, 'ingester-ours');
    t.ok((await bare.command(`join ${one.endpoint}`)).ok, 'the foreigner joins');
    for (const peer of peers) {
      const merged = peer.waitForMembers(['one', 'two', 'bare'], GOSSIP_TIMEOUT_MS);
      await t.resolves(merged, `${peer.name} sees the merged ring`);
    }
    await shares(t, bare, two, 'ingester-theirs');
    await assertDigests(t, peers);
  });
}

interface Arm {
  readonly name: string;
  readonly app: Speech;
  readonly fence: { readonly sends: string; readonly takes: string; readonly wire: string };
  readonly stage: 'accept' | 'label' | 'enforce';
}

const ARMS: readonly Arm[] = [
  {
    name: 'none/none',
    app: { label: '', compression: 'lzw' },
    fence: { sends: 'none', takes: 'none', wire: 'none' },
    stage: 'enforce',
  },
  {
    name: 'own/any',
    app: { label: LABEL, anything: true, compression: 'snappy' },
    fence: { sends: 'own', takes: 'any', wire: 'own' },
    stage: 'enforce',
  },
  {
    name: 'own/any',
    app: { label: LABEL, anything: true, compression: 'none' },
    fence: { sends: 'own', takes: 'any', wire: 'none' },
    stage: 'accept',
  },
];

interface Scene {
  readonly fences: readonly [Fence, Fence];
  readonly one: Peer;
  readonly two: Peer;
  readonly other: Peer;
  readonly bare: Peer;
}

async function setTheScene(lab: Lab, { app, fence: { wire, ...speech }, stage }: Arm): Promise<Scene> {
  const [one, two, other, bare] = ['one', 'two', 'other', 'bare'].map((name) => lab.addHost(name)) as [
    Host,
    Host,
    Host,
    Host,
  ];
  const admit = { cidrs: [one.ipv4, two.ipv4] };
  // No member is known without inspection, so the fences ping nobody: what crosses is the apps' own.
  const limits = { inspectBytesPerSecond: 0 };
  const transparent = { port: GOSSIP_PORT };
  const config = {
    fences: [{ name: 'tempo', cluster: LABEL, stage, wire, transparent, app: speech, admit, limits }],
  };
  const fences = (await Promise.all([one.fence(config), two.fence(config)])) as [Fence, Fence];
  const speakers = [app, app, { label: FOREIGN_LABEL, anything: app.anything ?? false }, NO_LABEL];
  const peers = await Promise.all(
    [one, two, other, bare].map((host, i) => startKv(lab, host, speakers[i] ?? NO_LABEL)),
  );
  await Promise.all(fences.map((fence) => fence.waitUntil('ready')));
  const [kvOne, kvTwo, kvOther, kvBare] = peers as [Peer, Peer, Peer, Peer];
  return { fences, one: kvOne, two: kvTwo, other: kvOther, bare: kvBare };
}

/** The third and the fourth try to get in, and ours is told to join them: all are refused with their own reasons. */
async function assertKeptOut(t: Test, { fences: [fence, fenceTwo], one, two, other, bare }: Scene, stage: string) {
  const missing = stage === 'enforce' ? 'label_missing' : 'peer_not_admitted';
  const attempts: readonly (readonly [Peer, Peer, string])[] = [
    [other, one, 'inbound dskit stream label_foreign'],
    [bare, one, `inbound dskit stream ${missing}`],
    [one, bare, 'outbound dskit stream peer_not_admitted'],
    [one, other, 'outbound dskit stream peer_foreign'],
  ];
  for (const [who, whom, reason] of attempts) {
    const grown = await rejectedDuring(fence, async () => {
      const { ok, error } = await who.command(`join ${whom.endpoint}`);
      t.notOk(ok, `${who.name} cannot join ${whom.name}`);
      t.match(error, /remote error: ringfence: /, `${who.name} is told why`);
    });
    t.strictSame(grown, { [reason]: 1 }, `${who.name} to ${whom.name}: counted once, as ${reason}`);
  }
  t.ok((await other.command(`cas ${RING_KEY} ingester-other`)).ok);
  t.ok((await bare.command(`cas ${RING_KEY} ingester-bare`)).ok);
  const before = await rejections(fence);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  t.strictSame(await rejections(fence), before, 'nobody learned an address to send packets to');
  t.strictSame(await rejections(fenceTwo), {}, 'the second fence rejected nothing');
  for (const peer of [one, two]) {
    t.strictSame(await peer.members(), ['one', 'two'], `${peer.name} sees its own ring`);
    t.strictSame(
      (await instances(peer)).filter((id) => /other|bare/.test(id)),
      [],
      `${peer.name}'s ring is its own`,
    );
  }
  for (const [peer, own] of [
    [other, 'ingester-other'],
    [bare, 'ingester-bare'],
  ] as const) {
    t.strictSame(await peer.members(), [peer.name], `${peer.name} is alone`);
    t.strictSame(await instances(peer), [own], `${peer.name} got nothing of ours`);
  }
}

for (const arm of ARMS) {
  const { name, app, stage, fence } = arm;
  const title = `${name}, wire ${fence.wire}, ${stage}, ${app.compression}: a ring of its own`;
  t.test(title, { skip }, async (t) => {
    const lab = createLab({ name: `dk${fence.wire}${stage}` });
    t.teardown(() => lab.close());
    const scene = await setTheScene(lab, arm);
    const { fences, one, two } = scene;
    t.ok((await two.command(`join ${one.endpoint}`)).ok, 'two joins one');
    for (const peer of [one, two]) {
      await t.resolves(peer.waitForMembers(['one', 'two'], GOSSIP_TIMEOUT_MS), `${peer.name} sees both`);
    }
    await shares(t, one, two, 'ingester-a');
    await shares(t, two, one, 'ingester-b');
    await shares(t, one, two, 'ingester-many', 'big/ring', MANY_INSTANCES);
    t.strictSame(await instances(one), await instances(two), 'both hold the same ring');
    t.strictSame(
      [await rejections(fences[0]), await rejections(fences[1])],
      [{}, {}],
      'nothing of our own was rejected',
    );
    await assertKeptOut(t, scene, stage);
    await shares(t, two, one, 'ingester-c');
    await assertDigests(t, [one]);
    await assertDigests(t, [two], MANY_BYTES);
    const wire = fence.wire === 'own' || stage !== 'accept' ? 'own' : 'none';
    const arrived = { transport: 'dskit', direction: 'inbound', label_state: wire, verdict: 'pass' };
    for (const kind of ['packet', 'stream']) {
      t.ok((await fences[0].metric('frames_total', { ...arrived, kind })) > 0, `${kind}s crossed the wire as ${wire}`);
      const unexpected = { ...arrived, kind, label_state: wire === 'own' ? 'none' : 'own' };
      t.equal(await fences[0].metric('frames_total', unexpected), 0, `and no ${kind} in the other dialect`);
    }
  });
}
