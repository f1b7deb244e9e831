/** `ringfence inspect` on captures that tcpdump took of real rings: what it says equals what the peers' own interfaces say. */
import t, { type Test } from 'tap';
import type { Finding, Report } from '../../src/cli/inspect-report.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { requireTools } from '../lab/tools.ts';
import { ALERTMANAGER_PORT, startAlertmanager, eventually as until } from './alertmanagers.ts';
import { buildKv } from './build.ts';
import { hexOf, inspectReport, liveCommand, runInspect, startCapture } from './captures.ts';
import { eventually, GOSSIP_PORT, type Peer, startPeer } from './peers.ts';
import { startRing } from './serf-agents.ts';

const TOOLS = ['root', 'ip', 'setpriv', 'tcpdump'] as const;
const GOSSIP_TIMEOUT_MS = 20_000;

t.setTimeout(120_000);
t.jobs = 3;

const statusOf = ({ members }: Report) => Object.fromEntries(members.map(({ name, state }) => [name, state]));
const placesOf = ({ members }: Report) =>
  Object.fromEntries(members.map(({ name, address, port }) => [name, `${address}:${port}`]));

t.test(
  'serf: members, states and flows, as pcap, hex and live',
  { skip: requireTools([...TOOLS, 'serf']) },
  async (t) => {
    const lab = createLab({ name: 'insserf' });
    t.teardown(() => lab.close());
    const hosts = ['one', 'two', 'three'].map((name) => lab.addHost(name));
    const [host] = hosts as [Host];
    const capture = await startCapture(lab, host, `port ${GOSSIP_PORT}`, 'eth0');
    const live = host.spawn('sh', ['-c', liveCommand(`port ${GOSSIP_PORT}`)]);
    await live.waitFor(/listening on/, 10_000);
    const ring = await startRing(lab, hosts, 'ipv4');
    const [one, , three] = ring;
    await three?.leave();
    await one?.waitForMembers({ one: 'alive', two: 'alive', three: 'left' }, GOSSIP_TIMEOUT_MS);
    await capture.stop();

    const report = await inspectReport(capture.file);
    t.strictSame(statusOf(report), await one?.members(), 'the member table is what `serf members` says');
    t.strictSame(placesOf(report), Object.fromEntries(hosts.map(({ name, ipv4 }) => [name, `${ipv4}:${GOSSIP_PORT}`])));
    for (const { versions, incarnation } of report.members) {
      t.match(versions, /^1-5 \(2\), delegate 2-\d \(\d\)$/, 'protocol and delegate versions');
      t.ok(incarnation > 0);
    }
    t.match(report.labels, [{ label: null, members: 3 }], 'serf of that age has no labels');
    t.strictSame(report.findings, [], 'a healthy ring has no findings');
    t.strictSame(report.problems, [], 'nor broken frames');
    const protocols = new Set(report.flows.map(({ protocol, transport }) => `${protocol} ${transport}`));
    t.strictSame([...protocols].sort(), ['tcp native', 'udp native']);
    const kinds = new Set(report.flows.flatMap(({ kinds: of }) => Object.keys(of)));
    for (const kind of ['ping', 'ackResp', 'alive', 'pushPull', 'user']) t.ok(kinds.has(kind), `${kind} was seen`);

    const hex = await runInspect(['-', '--json'], await hexOf(capture.file));
    t.equal(hex.code, 0, hex.stderr);
    const fromHex = JSON.parse(hex.stdout) as Report;
    t.strictSame(statusOf(fromHex), statusOf(report), 'the same members out of `tcpdump -x`');
    t.equal(fromHex.capture.counts.frames, report.capture.counts.frames);

    const text = await runInspect([capture.file, '-v']);
    t.match(text.stdout, new RegExp(`alive two ${lab.host('two').ipv4}:${GOSSIP_PORT}`), 'decoded frames');
    t.match(text.stdout, /^ {2}three +10\.77\.0\.3 +7946 +left /m, 'and tables for people');
    await assertLive(t, host, live, statusOf(report));
  },
);

/** Ends tcpdump: the reader gets the end of its pipe and gives its last report. */
async function assertLive(t: Test, host: Host, live: ReturnType<Host['spawn']>, members: object) {
  const { output } = await host.run('ip', ['netns', 'pids', host.namespace]);
  for (const pid of output.split('\n').filter(Boolean)) {
    const { output: name } = await host.run('cat', [`/proc/${pid}/comm`]);
    if (name.trim() === 'tcpdump') process.kill(Number(pid), 'SIGINT');
  }
  t.equal(await live.exited(10_000), 0);
  const last = live.lines().findLast((line) => line.startsWith('{"type":"report"'));
  t.strictSame(statusOf(JSON.parse(last ?? '{}') as Report), members, 'tcpdump | ringfence inspect - says the same');
}

t.test(
  'Alertmanager: the peers, out of cooked frames',
  { skip: requireTools([...TOOLS, 'curl', 'prometheus-alertmanager']) },
  async (t) => {
    const lab = createLab({ name: 'insam' });
    t.teardown(() => lab.close());
    const [host, other] = ['one', 'two'].map((name) => lab.addHost(name)) as [Host, Host];
    const capture = await startCapture(lab, host, `port ${ALERTMANAGER_PORT}`, 'any');
    const one = await startAlertmanager(lab, host, 'ipv6', []);
    const two = await startAlertmanager(lab, other, 'ipv6', [one.endpoint]);
    await until('both see two members', 30_000, async () => (await one.peers()) === 2 && (await two.peers()) === 2);
    await two.silence('Short', 'short');
    await until('the silence arrives', 20_000, async () => (await one.silences()).includes('short'));
    await capture.stop();

    const report = await inspectReport(capture.file, '--port', String(ALERTMANAGER_PORT));
    const expected = [one, two].map(({ address }) => `${address}:${ALERTMANAGER_PORT}`).sort();
    t.strictSame(Object.values(placesOf(report)).sort(), expected, 'the member table holds both peers');
    t.ok(report.members.every(({ state }) => state === 'alive'));
    t.strictSame([report.findings, report.problems], [[], []], 'nothing is wrong with them');
    const senders = report.labels.flatMap((row) => row.senders);
    for (const { endpoint } of [one, two]) t.ok(senders.includes(endpoint), `${endpoint} sends`);
    const elsewhere = await inspectReport(capture.file);
    t.match(
      elsewhere.capture.notes,
      [/^no gossip on port 7946; most frames are on port 9094 \(\d+\)/],
      'it says where to look',
    );
    const anywhere = await inspectReport(capture.file, '--port', 'any');
    t.strictSame(placesOf(anywhere), placesOf(report), 'gossip on any port is told by its content');
  },
);

const startKv = async (lab: Lab, host: Host, label: string): Promise<Peer> => {
  const args = ['-bind', host.ipv4, '-port', String(GOSSIP_PORT), '-cluster-label', label];
  // Verification off, as while a label is being adopted: then any label is let in.
  return startPeer(lab, host, await buildKv(), [...args, '-cluster-label-verification-disabled']);
};

t.test('dskit: two labelled rings that merge', { skip: requireTools([...TOOLS, 'go']) }, async (t) => {
  const program = buildKv();
  const lab = createLab({ name: 'insdskit' });
  t.teardown(() => lab.close());
  const hosts = ['blue-1', 'blue-2', 'green-1'].map((name) => lab.addHost(name));
  await program;
  const [blue, blueTwo, green] = await Promise.all(
    hosts.map((host, i) => startKv(lab, host, i < 2 ? 'tempo.blue' : 'tempo.green')),
  );
  if (blue === undefined || blueTwo === undefined || green === undefined) throw new Error('three peers');
  const capture = await startCapture(lab, hosts[0] as Host, `tcp port ${GOSSIP_PORT}`, 'eth0');
  t.ok((await blueTwo.command(`join ${blue.endpoint}`)).ok);
  t.ok((await blue.command('cas collectors/ring ingester-blue')).ok);
  await Promise.all([blue, blueTwo].map((peer) => peer.waitForMembers(['blue-1', 'blue-2'], GOSSIP_TIMEOUT_MS)));
  const before = Date.now();
  t.ok((await green.command(`join ${blue.endpoint}`)).ok, 'they merge');
  for (const peer of [blue, blueTwo, green]) {
    await peer.waitForMembers(['blue-1', 'blue-2', 'green-1'], GOSSIP_TIMEOUT_MS);
  }
  await eventually('the instance reaches the other ring', GOSSIP_TIMEOUT_MS, async () => {
    const { instances } = await green.command('get collectors/ring');
    return (instances as readonly string[]).includes('ingester-blue') ? undefined : `${instances}`;
  });
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await capture.stop();

  const report = await inspectReport(capture.file);
  t.strictSame(report.labels.map(({ label }) => label).toSorted(), ['tempo.blue', 'tempo.green']);
  const { members } = (await blue.command('members')) as unknown as {
    members: readonly { name: string; address: string }[];
  };
  const blues = report.members.filter(({ label }) => label === 'tempo.blue');
  const said = new Set(members.map(({ name, address }) => `${name} ${address}`));
  t.strictSame(
    new Set(blues.map(({ name, address }) => `${name} ${address}`)),
    said,
    "the member table is dskit's own",
  );
  t.match(
    report.keys.find(({ key }) => key === 'collectors/ring'),
    { codec: 'ringDesc' },
  );
  t.match(
    report.instances.find(({ id }) => id === 'ingester-blue'),
    {
      key: 'collectors/ring',
      address: 'ingester-blue:9095',
      zone: 'zone-a',
      state: 'ACTIVE',
    },
  );
  assertMerge(t, report, hosts, before);
  t.strictSame(report.problems, [], 'every packet has its digest and can be read');
});

function assertMerge(t: Test, report: Report, hosts: readonly Host[], beforeMs: number) {
  const { address, endpoint } = { address: hosts[2]?.ipv4, endpoint: `${hosts[2]?.ipv4}:${GOSSIP_PORT}` };
  const of = (kind: Finding['kind']) => report.findings.filter((finding) => finding.kind === kind);
  const merged = of('merged_tuple').find(({ sentence }) => sentence.startsWith(`green-1 at ${endpoint} `));
  t.match(merged?.sentence, /label "tempo\.blue"/, 'the merged tuple is named with its labels');
  t.match(merged?.sentence, /label "tempo\.green"/);
  for (const { frame, at, from } of merged?.evidence ?? []) {
    t.ok(frame > 0 && Date.parse(at ?? '') >= beforeMs, `frame ${frame} at ${at}, after the join`);
    t.ok(
      hosts.some(({ ipv4 }) => `${ipv4}:${GOSSIP_PORT}` === from),
      `from ${from}`,
    );
  }
  const crossing = of('crosses_labels').map(({ sentence }) => sentence);
  const wanted = `frames with label "tempo.green" from ${address}:${GOSSIP_PORT} reach ${hosts[0]?.ipv4}:${GOSSIP_PORT}, which sends with label "tempo.blue"`;
  t.ok(crossing.includes(wanted), `who crossed is named: ${crossing.join('; ')}`);
  t.strictSame(of('two_labels'), [], 'no member sends two labels');
}
