// The fence's labelled pings over the other transports: dskit's TCP, TLS around it, Alertmanager's TLS; and inside gossip encryption.
import { createHash } from 'node:crypto';
import t from 'tap';
import { createAuthority } from '../lab/certificates.ts';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { ALERTMANAGER_PORT } from './alertmanagers.ts';
import { buildAlertmanager, buildKv, buildMember } from './build.ts';
import { FOREIGN_LABEL, LABEL, moveTo, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer, startPeer } from './peers.ts';
import { createAsker, type Pinged } from './pings.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'openssl']);
const SERVER_NAME = 'gossip.test';

/** These transports have no datagrams. */
const TAKES: Pinged = ['none', 'answered undefined'];
const DROPS: Pinged = ['none', 'silent'];

t.setTimeout(240_000);
t.jobs = 2;

t.before(async () => {
  if (skip !== false) return;
  await buildKv();
  await buildAlertmanager();
  for (const version of ['v0.6.0', 'v0.2.2'] as const) await buildMember(version);
});

const hostsOf = (lab: Lab, ...names: string[]) => names.map((name) => lab.addHost(name));

const targetOf = ({ name, host }: Peer, port = GOSSIP_PORT) => ({ name, address: host.ipv4, port });

/** Lines of `peer` since `from` that complain. */
const complaints = (peer: Peer, from: number) =>
  peer.process.lines(from).filter((line) => /level=(warn|error)|\[(WARN|ERR|ERROR)\]|"(WARN|ERROR)"/i.test(line));

t.test('dskit', { skip }, async (t) => {
  const lab = createLab({ name: 'probedskit' });
  t.teardown(() => lab.close());
  const [asker, strict, lax, foreign, unlabelled, fenced] = hostsOf(
    lab,
    ...['asker', 'strict', 'lax', 'foreign', 'unlabelled', 'fenced'],
  ) as [Host, Host, Host, Host, Host, Host];
  const admit = { cidrs: [asker.ipv4] };
  const app = { sends: 'none', takes: 'none', transport: 'dskit' };
  const fence = await fenced.fence({
    fences: [{ name: 'tempo', cluster: LABEL, stage: 'observe', transparent: { port: GOSSIP_PORT }, app, admit }],
  });
  const program = await buildKv();
  const start = (host: Host, ...args: readonly string[]) =>
    startPeer(lab, host, program, ['-bind', host.ipv4, '-port', String(GOSSIP_PORT), '-debug', ...args]);
  const anything = '-cluster-label-verification-disabled';
  const takers = [
    await start(strict, '-cluster-label', LABEL),
    await start(lax, '-cluster-label', FOREIGN_LABEL, anything),
  ];
  const droppers = [await start(foreign, '-cluster-label', FOREIGN_LABEL), await start(unlabelled)];
  const behind = await start(fenced);
  await fence.waitUntil('ready');
  const ask = await createAsker(lab);
  const order = { label: LABEL, transport: 'dskit', listen: asker.ipv4 } as const;
  const marks = takers.map(({ process }) => process.mark());
  const targets = [...takers, ...droppers, behind].map((peer) => targetOf(peer));
  const answers = await ask(asker, { ...order, targets });
  t.strictSame(
    answers,
    [TAKES, TAKES, DROPS, DROPS, DROPS],
    'own; verification disabled; another; none; fence at observe',
  );
  takers.forEach((peer, i) => {
    t.strictSame(complaints(peer, marks[i] as number), [], `${peer.name} complains of nothing`);
  });
  t.not(
    complaints(droppers[0] as Peer, 0).length,
    0,
    'one that drops them does, so that the silence above means something',
  );
  for (const stage of ['accept', 'label', 'enforce']) {
    await moveTo(stage, new Map([[fenced, fence]]));
    t.strictSame(await ask(asker, { ...order, targets: [targetOf(behind)] }), [TAKES], `its fence at ${stage}`);
  }
});

/** A certificate for every host, one for the fences, and one for the asker. */
function certify(lab: Lab, hosts: readonly Host[]) {
  const authority = createAuthority(lab.directory('certificates'), 'ca');
  const issue = (name: string) => {
    const { certFile, keyFile } = authority.issue(name, [SERVER_NAME, ...hosts.map(({ ipv4 }) => ipv4)]);
    return { certFile, keyFile, caFile: authority.certFile };
  };
  return { issue, fence: issue('fence') };
}

t.test('dskit in TLS', { skip }, async (t) => {
  const lab = createLab({ name: 'probedktls' });
  t.teardown(() => lab.close());
  const hosts = hostsOf(lab, 'asker', 'strict', 'foreign', 'fenced');
  const [asker, strict, foreign, fenced] = hosts as [Host, Host, Host, Host];
  const { issue, fence: files } = certify(lab, hosts);
  const app = { sends: 'none', takes: 'none', transport: 'dskit-tls' };
  const fence = await fenced.fence({
    fences: [
      {
        ...{ name: 'tempo', cluster: LABEL, stage: 'label', transparent: { port: GOSSIP_PORT }, app },
        ...{ admit: { cidrs: [asker.ipv4] }, tls: { ...files, serverName: SERVER_NAME } },
      },
    ],
  });
  const program = await buildKv();
  const start = (host: Host, ...args: readonly string[]) => {
    const { certFile, keyFile, caFile } = issue(host.name);
    const tls = ['-tls-cert', certFile, '-tls-key', keyFile, '-tls-ca', caFile, '-tls-server-name', SERVER_NAME];
    return startPeer(lab, host, program, ['-bind', host.ipv4, '-port', String(GOSSIP_PORT), '-debug', ...tls, ...args]);
  };
  const peers = [
    await start(strict, '-cluster-label', LABEL),
    await start(fenced),
    await start(foreign, '-cluster-label', FOREIGN_LABEL),
  ];
  await fence.waitUntil('ready');
  const ask = await createAsker(lab);
  const marks = peers.map(({ process }) => process.mark());
  const order = { label: LABEL, transport: 'dskit', listen: asker.ipv4 } as const;
  const targets = peers.map((peer) => targetOf(peer));
  const tls = { ...files, serverName: SERVER_NAME };
  t.strictSame(await ask(asker, { ...order, tls, targets }), [TAKES, TAKES, DROPS], 'by a name that all carry');
  t.strictSame(complaints(peers[0] as Peer, marks[0] as number), [], 'the member complains of nothing');
  t.strictSame(complaints(peers[1] as Peer, marks[1] as number), [], 'nor does the one behind a fence');
  t.not(complaints(peers[2] as Peer, marks[2] as number).length, 0, 'the one that drops them does');
  const addressed = await ask(asker, { ...order, tls: { ...files, serverName: '' }, targets });
  t.strictSame(addressed, [TAKES, TAKES, DROPS], 'each by its address');
  const wrong = await ask(asker, { ...order, tls: { ...files, serverName: 'other.test' }, targets });
  t.strictSame(
    wrong,
    [
      ['none', 'unable'],
      ['none', 'unable'],
      ['none', 'unable'],
    ],
    'a name of ours that nobody carries',
  );
  t.strictSame(await ask(asker, { ...order, targets }), [DROPS, DROPS, DROPS], 'without TLS nobody answers');
});

t.test("Alertmanager's TLS", { skip }, async (t) => {
  const lab = createLab({ name: 'probeam' });
  t.teardown(() => lab.close());
  const hosts = hostsOf(lab, 'asker', 'strict', 'foreign', 'fenced');
  const [asker, strict, foreign, fenced] = hosts as [Host, Host, Host, Host];
  const { issue, fence: files } = certify(lab, hosts);
  const app = { sends: 'none', takes: 'none', transport: 'alertmanager-tls' };
  const fence = await fenced.fence({
    fences: [
      {
        ...{ name: 'alerts', cluster: LABEL, stage: 'label', transparent: { port: ALERTMANAGER_PORT }, app },
        ...{ admit: { cidrs: [asker.ipv4] }, tls: files },
      },
    ],
  });
  const program = await buildAlertmanager();
  const start = (host: Host, label: string) => {
    const { certFile, keyFile, caFile } = issue(host.name);
    const server = `{cert_file: ${certFile}, key_file: ${keyFile}, client_ca_file: ${caFile}, client_auth_type: RequireAndVerifyClientCert}`;
    const client = `{ca_file: ${caFile}, cert_file: ${certFile}, key_file: ${keyFile}}`;
    const config = lab.file(`${host.name}-tls.yml`, `tls_server_config: ${server}\ntls_client_config: ${client}\n`);
    const endpoint = `${host.ipv4}:${ALERTMANAGER_PORT}`;
    return startPeer(lab, host, program, ['-bind', endpoint, '-label', label, '-tls-config', config], endpoint);
  };
  const peers = [await start(strict, LABEL), await start(fenced, ''), await start(foreign, FOREIGN_LABEL)];
  await fence.waitUntil('ready');
  const ask = await createAsker(lab);
  const marks = peers.map(({ process }) => process.mark());
  const targets = peers.map(({ host }) => ({ name: '', address: host.ipv4, port: ALERTMANAGER_PORT }));
  const tls = { ...files, serverName: '' };
  const answers = await ask(asker, { label: LABEL, transport: 'alertmanager', listen: asker.ipv4, tls, targets });
  t.strictSame(answers, [TAKES, TAKES, DROPS], 'own label; behind a fence; another label');
  t.strictSame(complaints(peers[0] as Peer, marks[0] as number), [], 'the member complains of nothing');
  t.strictSame(complaints(peers[1] as Peer, marks[1] as number), [], 'nor does the one behind a fence');
  t.not(complaints(peers[2] as Peer, marks[2] as number).length, 0, 'the one that drops them does');
});

const keyOf = (text: string) => createHash('sha256').update(text).digest('base64');

t.test('encrypted gossip', { skip }, async (t) => {
  const lab = createLab({ name: 'probeseal' });
  t.teardown(() => lab.close());
  const [asker, native, old, keyless] = hostsOf(lab, 'asker', 'native', 'old', 'keyless') as [Host, Host, Host, Host];
  const keys = [keyOf('one')];
  const keyFile = lab.file('keys', `${keys[0]}\n`);
  const admit = { cidrs: [asker.ipv4] };
  const config = (encryption: object) => ({
    fences: [
      { name: 'gossip', cluster: LABEL, stage: 'label', transparent: { port: GOSSIP_PORT }, admit, ...encryption },
    ],
  });
  const fences: readonly Fence[] = [
    await old.fence(config({ encryption: { keyFiles: [keyFile], reseal: 'on' } })),
    await keyless.fence(config({})),
  ];
  const peers = [
    await startMember(lab, native, { version: 'v0.6.0', label: LABEL, keys }),
    await startMember(lab, old, { version: 'v0.2.2', keys }),
    await startMember(lab, keyless, { version: 'v0.2.2', keys }),
  ];
  await Promise.all(fences.map((fence) => fence.waitUntil('ready')));
  const ask = await createAsker(lab);
  const order = { label: LABEL, listen: asker.ipv4, targets: peers.map((peer) => targetOf(peer)) };
  const yes: Pinged = ['answered own', 'answered undefined'];
  const no: Pinged = ['silent', 'silent'];
  const marks = peers.map(({ process }) => process.mark());
  const resealed = await ask(asker, { ...order, keys, reseal: true });
  t.strictSame(resealed, [yes, yes, no], 'sealed as a native member seals: a fence without keys cannot translate');
  t.strictSame(complaints(peers[0] as Peer, marks[0] as number), [], 'the native member complains of nothing');
  t.strictSame(complaints(peers[1] as Peer, marks[1] as number), [], 'nor does the one behind a fence with keys');
  t.not(complaints(peers[2] as Peer, marks[2] as number).length, 0, 'the one that could not open it does');
  t.strictSame(await ask(asker, { ...order, keys, sends: 'own' }), [yes, yes, no], 'the same for an app with a label');
  t.strictSame(
    await ask(asker, { ...order, keys }),
    [no, yes, yes],
    'as an app that predates labels seals, not resealed',
  );
  t.strictSame(await ask(asker, { ...order, keys: [keyOf('two')] }), [no, no, no], 'under another key');
  t.strictSame(await ask(asker, order), [no, no, no], 'without a key');
});
