// dskit's memberlist KV with memberlist.tls-enabled, behind transparent fences that open the TLS: certificates of one CA keep no
// clusters apart, labels do.
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { type Authority, createAuthority, type Issued, replace } from '../lab/certificates.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejectedDuring, rejections } from '../lab/rejections.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildKv } from './build.ts';
import { GOSSIP_TIMEOUT_MS, instances, RING_KEY, shares } from './kv-peers.ts';
import { GOSSIP_PORT, type Peer, startPeer } from './peers.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'openssl']);
const LABEL = 'tempo.prod';
const SERVER_NAME = 'gossip.tempo.test';
/** Long enough for a probe, a push/pull (5 s) and retries of whoever was refused. */
const SETTLE_MS = 7_000;
/** About 200 kB of ring that does not compress: packets and streams of many TLS records. */
const MANY_INSTANCES = 300;

t.setTimeout(240_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) await buildKv();
});

/** How members find each other's certificates right: by the name that all of them carry, or each by its address. */
type Naming = 'server name' | 'address';

async function startKv(
  lab: Lab,
  host: Host,
  authority: Authority,
  issued: Issued,
  naming: Naming,
  label = '',
): Promise<Peer> {
  const args = ['-bind', host.ipv4, '-port', String(GOSSIP_PORT), '-debug'];
  args.push('-tls-cert', issued.certFile, '-tls-key', issued.keyFile, '-tls-ca', authority.certFile);
  if (naming === 'server name') args.push('-tls-server-name', SERVER_NAME);
  if (label !== '') args.push('-cluster-label', label);
  return startPeer(lab, host, await buildKv(), args);
}

const broken = (peer: Peer) =>
  peer.process.lines().filter((line) => /digest mismatch|not enough data|unknown message type|tls: /.test(line));

interface Scene {
  readonly authority: Authority;
  readonly hosts: readonly [Host, Host, Host, Host];
  /** In front of one and two. */
  readonly fences: readonly [Fence, Fence];
  readonly certificates: readonly Issued[];
}

/** One and two behind fences; other and bare are to come. `fenceFiles`: where the fences' own certificate stands, to be rotated. */
async function setTheScene(lab: Lab, naming: Naming): Promise<Scene & { readonly fenceFiles: Issued }> {
  const hosts = ['one', 'two', 'other', 'bare'].map((name) => lab.addHost(name)) as unknown as Scene['hosts'];
  const authority = createAuthority(lab.directory('certificates'), 'ca');
  const names = (host: Host) => (naming === 'server name' ? [SERVER_NAME] : [host.ipv4]);
  const certificates = hosts.map((host) => authority.issue(host.name, names(host)));
  const fenceFiles = authority.issue('fence', [SERVER_NAME, ...hosts.map(({ ipv4 }) => ipv4)]);
  const { certFile, keyFile } = fenceFiles;
  const tls = { certFile, keyFile, caFile: authority.certFile };
  const admit = { cidrs: hosts.slice(0, 2).map(({ ipv4 }) => ipv4) };
  const app = { sends: 'none', takes: 'none', transport: 'dskit-tls' };
  const config = {
    fences: [{ name: 'tempo', cluster: LABEL, stage: 'enforce', transparent: { port: GOSSIP_PORT }, app, admit, tls }],
  };
  const fences = (await Promise.all([hosts[0].fence(config), hosts[1].fence(config)])) as unknown as Scene['fences'];
  return { authority, hosts, fences, certificates, fenceFiles };
}

t.test('control: without fences, a valid certificate of the same CA is enough to merge', { skip }, async (t) => {
  const lab = createLab({ name: 'tlsctl' });
  t.teardown(() => lab.close());
  const authority = createAuthority(lab.directory('certificates'), 'ca');
  const [one, bare] = (await Promise.all(
    ['one', 'bare'].map((name) => {
      const host = lab.addHost(name);
      return startKv(lab, host, authority, authority.issue(name, [SERVER_NAME]), 'server name');
    }),
  )) as [Peer, Peer];
  t.ok((await bare.command(`join ${one.endpoint}`)).ok, 'the foreigner joins');
  await t.resolves(one.waitForMembers(['one', 'bare'], GOSSIP_TIMEOUT_MS));
  await shares(t, bare, one, 'ingester-theirs');
});

/** A foreign labelled ring and an unlabelled one, both with valid certificates, try to get in and are told to come. */
async function assertKeptOut(t: Test, lab: Lab, scene: Scene, naming: Naming, one: Peer, two: Peer): Promise<void> {
  const [, , otherHost, bareHost] = scene.hosts;
  const [, , otherCertificate, bareCertificate] = scene.certificates as [Issued, Issued, Issued, Issued];
  const [fence] = scene.fences;
  const other = await startKv(lab, otherHost, scene.authority, otherCertificate, naming, 'tempo.dev');
  const bare = await startKv(lab, bareHost, scene.authority, bareCertificate, naming);
  const attempts: readonly (readonly [Peer, Peer, string])[] = [
    [other, one, 'inbound dskit stream label_foreign'],
    [bare, one, 'inbound dskit stream label_missing'],
    [one, bare, 'outbound dskit stream peer_not_admitted'],
    [one, other, 'outbound dskit stream peer_foreign'],
  ];
  for (const [who, whom, reason] of attempts) {
    const grown = await rejectedDuring(fence, async () => {
      const { ok, error } = await who.command(`join ${whom.endpoint}`);
      t.notOk(ok, `${who.name} cannot join ${whom.name}`);
      t.match(error, /remote error: ringfence: /, `${who.name} is told why, inside TLS`);
    });
    t.strictSame(grown, { [reason]: 1 }, `${who.name} to ${whom.name}: counted once, as ${reason}`);
  }
  t.ok((await other.command(`cas ${RING_KEY} ingester-other`)).ok);
  t.ok((await bare.command(`cas ${RING_KEY} ingester-bare`)).ok);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  for (const peer of [one, two]) {
    t.strictSame(await peer.members(), ['one', 'two'], `${peer.name} sees its own ring`);
    t.notMatch((await instances(peer)).join(), /other|bare/, `${peer.name}'s ring is its own`);
  }
  t.strictSame(
    [await instances(other), await instances(bare)],
    [['ingester-other'], ['ingester-bare']],
    'nothing got out',
  );
}

/** A client without a certificate, or with a stranger's, is refused at TLS. */
async function assertCertificates(t: Test, { hosts, fences, authority }: Scene, lab: Lab): Promise<void> {
  const [one, , other] = hosts;
  const stranger = createAuthority(lab.directory('strangers'), 'stranger').issue('client', ['client.test']);
  const connect = [
    's_client',
    '-connect',
    `${one.ipv4}:${GOSSIP_PORT}`,
    '-CAfile',
    authority.certFile,
    '-quiet',
    '-tls1_3',
  ];
  for (const client of [[], ['-cert', stranger.certFile, '-key', stranger.keyFile]]) {
    const grown = await rejectedDuring(fences[0], async () => {
      const { ok } = await other.run('timeout', ['5', 'openssl', ...connect, ...client]);
      t.notOk(ok, `openssl ${client.length === 0 ? 'without a' : "with a stranger's"} certificate is refused`);
    });
    t.strictSame(grown, { 'inbound tls stream tls_handshake_failed': 1 });
  }
  const grown = await rejectedDuring(fences[0], async () => {
    await other.run('sh', [
      '-c',
      `printf '\\002\\364' | timeout 5 curl -s --max-time 3 telnet://${one.ipv4}:${GOSSIP_PORT}`,
    ]);
  });
  t.strictSame(grown, { 'inbound unknown stream stream_unknown_type': 1 }, 'plaintext is refused');
}

/** The fences' certificate changes while they run: new connections show the new one, and the ring goes on. */
async function assertRotation(
  t: Test,
  scene: Scene & { readonly fenceFiles: Issued },
  one: Peer,
  two: Peer,
): Promise<void> {
  const { authority, hosts, fences, fenceFiles } = scene;
  const shown = async () => {
    const from = hosts[1];
    const target = `${hosts[0].ipv4}:${GOSSIP_PORT}`;
    const { output } = await from.run('sh', [
      '-c',
      `timeout 5 openssl s_client -connect ${target} </dev/null 2>/dev/null | openssl x509 -noout -subject`,
    ]);
    return output.trim();
  };
  t.match(await shown(), /CN ?= ?fence$/);
  const marks = fences.map((fence) => fence.process().mark());
  const broken = readFileSync(fenceFiles.keyFile, 'utf8').slice(0, 40);
  writeFileSync(fenceFiles.keyFile, broken);
  const names = [SERVER_NAME, ...hosts.map(({ ipv4 }) => ipv4)];
  await Promise.all(
    fences.map((fence, i) => fence.process().waitFor(/the last good certificate stays in use/, 10_000, marks[i])),
  );
  await shares(t, one, two, 'ingester-while-broken');
  replace(fenceFiles, authority.issue('rotated', names));
  await Promise.all(fences.map((fence, i) => fence.process().waitFor(/new certificates are in use/, 10_000, marks[i])));
  t.match(await shown(), /CN ?= ?rotated$/, 'the new certificate is shown');
  await shares(t, two, one, 'ingester-rotated');
  t.notMatch(fences.map((fence) => fence.lines().join()).join(), broken.slice(30), 'no key in the log');
}

for (const naming of ['server name', 'address'] as const) {
  t.test(`verified by ${naming}: a ring of its own, whoever else has certificates of its CA`, { skip }, async (t) => {
    const lab = createLab({ name: naming === 'address' ? 'tlsaddr' : 'tlsname' });
    t.teardown(() => lab.close());
    const scene = await setTheScene(lab, naming);
    const [certOne, certTwo] = scene.certificates as [Issued, Issued];
    const one = await startKv(lab, scene.hosts[0], scene.authority, certOne, naming);
    const two = await startKv(lab, scene.hosts[1], scene.authority, certTwo, naming);
    await Promise.all(scene.fences.map((fence) => fence.waitUntil('ready')));
    const { ok, error } = await two.command(`join ${one.endpoint}`);
    t.ok(ok, `two joins one ${error}`);
    for (const peer of [one, two]) await t.resolves(peer.waitForMembers(['one', 'two'], GOSSIP_TIMEOUT_MS));
    await shares(t, one, two, 'ingester-a');
    await shares(t, two, one, 'ingester-b');
    await shares(t, one, two, 'ingester-many', 'big/ring', MANY_INSTANCES);
    t.strictSame(
      [await rejections(scene.fences[0]), await rejections(scene.fences[1])],
      [{}, {}],
      'nothing of ours was rejected',
    );
    for (const kind of ['packet', 'stream']) {
      const own = { transport: 'dskit', direction: 'inbound', label_state: 'own', verdict: 'pass', kind };
      t.ok((await scene.fences[0].metric('frames_total', own)) > 0, `${kind}s crossed the wire labelled, inside TLS`);
    }
    await assertKeptOut(t, lab, scene, naming, one, two);
    if (naming === 'server name') {
      await assertCertificates(t, scene, lab);
      await assertRotation(t, scene, one, two);
    }
    t.strictSame(broken(one), [], 'nothing that one got was broken');
  });
}
