// Alertmanager's cluster over its TLS transport, behind transparent fences: the current release unlabelled and labelled, and Debian's,
// which predates labels.
import t, { type Test } from 'tap';
import { type Authority, createAuthority } from '../lab/certificates.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejectedDuring, rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { ALERTMANAGER_PORT, startAlertmanager } from './alertmanagers.ts';
import { buildAlertmanager } from './build.ts';
import { eventually, type Peer, startPeer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'openssl', 'prometheus-alertmanager']);
const LABEL = 'alerts.prod';
/** Too long for a gossip packet, so that it travels by a stream. */
const LONG = 'long '.repeat(400).trim();
const GOSSIP_TIMEOUT_MS = 20_000;
/** How long a silence is given to leak: several push/pulls (3 s) and reconnects (2 s). */
const LEAK_MS = 8_000;

t.setTimeout(240_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) await buildAlertmanager();
});

/** The file for --cluster.tls-config of a host, with a certificate of its address. */
function tlsConfig(lab: Lab, authority: Authority, host: Host): string {
  const { certFile, keyFile } = authority.issue(host.name, [host.ipv4]);
  const ca = authority.certFile;
  return lab.file(
    `${host.name}-tls.yml`,
    `tls_server_config: {cert_file: ${certFile}, key_file: ${keyFile}, client_ca_file: ${ca}, client_auth_type: RequireAndVerifyClientCert}
tls_client_config: {ca_file: ${ca}, cert_file: ${certFile}, key_file: ${keyFile}}
`,
  );
}

const endpointOf = (host: Host) => `${host.ipv4}:${ALERTMANAGER_PORT}`;

async function startAm(lab: Lab, authority: Authority, host: Host, join: readonly Host[], label = ''): Promise<Peer> {
  const endpoint = endpointOf(host);
  const args = ['-bind', endpoint, '-label', label, '-tls-config', tlsConfig(lab, authority, host)];
  if (join.length > 0) args.push('-join', join.map(endpointOf).join());
  return startPeer(lab, host, await buildAlertmanager(), args, endpoint);
}

const silences = async (peer: Peer) => (await peer.command('silences'))['silences'] as readonly string[];

async function shares(t: Test, from: Peer, to: Peer, comment: string): Promise<void> {
  t.ok((await from.command(`silence ${comment.slice(0, 5)} ${comment}`)).ok);
  const reads = async () => ((await silences(to)).includes(comment) ? undefined : `knows ${await silences(to)}`);
  await t.resolves(
    eventually(`${to.name} knows it`, GOSSIP_TIMEOUT_MS, reads),
    `${comment.slice(0, 20)} gets from ${from.name} to ${to.name}`,
  );
}

const sees = (peer: Peer, count: number) =>
  eventually(`${peer.name} sees ${count}`, GOSSIP_TIMEOUT_MS, async () => {
    const seen = await peer.members();
    return seen.length === count ? undefined : `sees ${seen}`;
  });

t.test('control: without fences, a valid certificate of the same CA is enough to merge', { skip }, async (t) => {
  const lab = createLab({ name: 'amtctl' });
  t.teardown(() => lab.close());
  const authority = createAuthority(lab.directory('certificates'), 'ca');
  const [one, foreign] = ['one', 'foreign'].map((name) => lab.addHost(name)) as [Host, Host];
  const ours = await startAm(lab, authority, one, []);
  const theirs = await startAm(lab, authority, foreign, [one]);
  await t.resolves(Promise.all([sees(ours, 2), sees(theirs, 2)]));
  await shares(t, theirs, ours, 'theirs');
});

interface Arm {
  readonly title: string;
  readonly label: string;
  readonly app: { readonly sends: string; readonly takes: string };
  readonly wire: string;
}

const ARMS: readonly Arm[] = [
  { title: 'unlabelled', label: '', app: { sends: 'none', takes: 'none' }, wire: 'none' },
  { title: 'labelled by itself', label: LABEL, app: { sends: 'own', takes: 'own' }, wire: 'own' },
];

async function startFences(authority: Authority, hosts: readonly Host[], { app, wire }: Arm): Promise<Fence[]> {
  const { certFile, keyFile } = authority.issue(
    'fence',
    hosts.map(({ ipv4 }) => ipv4),
  );
  const tls = { certFile, keyFile, caFile: authority.certFile };
  const fence = {
    name: 'alerts',
    cluster: LABEL,
    stage: 'enforce',
    wire,
    transparent: { port: ALERTMANAGER_PORT },
    app: { ...app, transport: 'alertmanager-tls' },
    admit: { cidrs: hosts.map(({ ipv4 }) => ipv4) },
    tls,
  };
  return Promise.all(hosts.map((host) => host.fence({ fences: [fence] })));
}

for (const arm of ARMS) {
  t.test(`${arm.title}: silences stay in their pair`, { skip }, async (t) => {
    const lab = createLab({ name: `amt${arm.wire}` });
    t.teardown(() => lab.close());
    const authority = createAuthority(lab.directory('certificates'), 'ca');
    const hosts = ['one', 'two', 'other', 'bare'].map((name) => lab.addHost(name)) as [Host, Host, Host, Host];
    const fences = (await startFences(authority, hosts.slice(0, 2), arm)) as [Fence, Fence];
    const one = await startAm(lab, authority, hosts[0], [], arm.label);
    const two = await startAm(lab, authority, hosts[1], [hosts[0]], arm.label);
    await Promise.all([sees(one, 2), sees(two, 2)]);
    await shares(t, one, two, 'short');
    await shares(t, two, one, LONG);
    t.strictSame([await rejections(fences[0]), await rejections(fences[1])], [{}, {}], 'nothing of ours was rejected');
    for (const kind of ['packet', 'stream']) {
      const own = { transport: 'alertmanager', direction: 'inbound', label_state: 'own', verdict: 'pass', kind };
      t.ok((await fences[0].metric('frames_total', own)) > 0, `${kind}s crossed the wire labelled, inside TLS`);
    }
    const other = await startAm(lab, authority, hosts[2], [hosts[0], hosts[1]], 'alerts.dev');
    const bare = await startAm(lab, authority, hosts[3], [hosts[0]]);
    t.ok((await other.command('silence Other other')).ok);
    t.ok((await bare.command('silence Bare bare')).ok);
    await new Promise((resolve) => setTimeout(resolve, LEAK_MS));
    for (const peer of [one, two]) {
      t.strictSame(await silences(peer), [LONG, 'short'].sort(), `${peer.name} kept its silences`);
      await t.resolves(sees(peer, 2), `${peer.name} sees its own pair only`);
    }
    t.strictSame([await silences(other), await silences(bare)], [['other'], ['bare']], 'and gave none out');
    t.strictSame(Object.keys(await rejections(fences[0])).sort(), [
      'inbound alertmanager stream label_foreign',
      'inbound alertmanager stream label_missing',
    ]);
    await assertBalloon(t, authority, fences[0], hosts, lab);
    await shares(t, one, two, 'still alive');
  });
}

/** A frame that announces 4 GiB (wire-protocol §6 row 10), from a client with a valid certificate. */
async function assertBalloon(
  t: Test,
  authority: Authority,
  fence: Fence,
  hosts: readonly Host[],
  lab: Lab,
): Promise<void> {
  const [one, , other] = hosts as readonly [Host, Host, Host];
  const client = authority.issue('client', ['client.test']);
  const grown = await rejectedDuring(fence, async () => {
    await other.run('sh', ['-c', announce(lab, authority, client, endpointOf(one))]);
  });
  t.equal(grown['inbound alertmanager stream alertmanager_oversize'], 1, 'a frame of 4 GiB is refused by its length');
}

function announce(lab: Lab, authority: Authority, client: { certFile: string; keyFile: string }, to: string): string {
  const four = lab.file('four', '\\377\\377\\377\\377');
  const tls = `openssl s_client -quiet -connect ${to} -CAfile ${authority.certFile} -cert ${client.certFile} -key ${client.keyFile}`;
  return `(printf "$(cat ${four})"; sleep 3) | timeout 5 ${tls} >/dev/null 2>&1`;
}

t.test('control: a bare Alertmanager reserves what four bytes announce', { skip }, async (t) => {
  const lab = createLab({ name: 'amtball' });
  t.teardown(() => lab.close());
  const authority = createAuthority(lab.directory('certificates'), 'ca');
  const [one, other] = ['one', 'other'].map((name) => lab.addHost(name)) as [Host, Host];
  const peer = await startAm(lab, authority, one, []);
  const client = authority.issue('client', ['client.test']);
  const virtualKib = () => Number(/VmData:\s+(\d+)/.exec(one.exec('cat', [`/proc/${peer.process.pid}/status`]))?.[1]);
  const before = virtualKib();
  let most = before;
  const attack = other.run('sh', ['-c', announce(lab, authority, client, endpointOf(one))]);
  await eventually('it reserves 4 GiB, or dies of it', 5_000, () => {
    if (!peer.process.running()) return undefined;
    most = Math.max(most, virtualKib());
    return most - before > 3 * 1024 * 1024 ? undefined : `grew by ${most - before} KiB`;
  });
  t.ok(!peer.process.running() || most - before > 3 * 1024 * 1024, `grew by ${most - before} KiB`);
  await attack;
});

t.test("Debian's 0.25, which predates labels: silences cross inside the fences", { skip }, async (t) => {
  const lab = createLab({ name: 'amtdeb' });
  t.teardown(() => lab.close());
  const authority = createAuthority(lab.directory('certificates'), 'ca');
  const hosts = ['one', 'two'].map((name) => lab.addHost(name)) as [Host, Host];
  const fences = await startFences(authority, hosts, ARMS[0] as Arm);
  const tls = (host: Host) => [`--cluster.tls-config=${tlsConfig(lab, authority, host)}`];
  const one = await startAlertmanager(lab, hosts[0], 'ipv4', [], tls(hosts[0]));
  const two = await startAlertmanager(lab, hosts[1], 'ipv4', [one.endpoint], tls(hosts[1]));
  const knows = (who: typeof one, comment: string) =>
    eventually(`${who.host.name} knows ${comment}`, GOSSIP_TIMEOUT_MS, async () =>
      (await who.silences()).includes(comment) ? undefined : 'not yet',
    );
  await one.silence('Short', 'short');
  await t.resolves(knows(two, 'short'));
  await two.silence('Long', LONG);
  await t.resolves(knows(one, LONG));
  t.strictSame([await one.peers(), await two.peers()], [2, 2]);
  t.strictSame(await Promise.all(fences.map(rejections)), [{}, {}]);
});
