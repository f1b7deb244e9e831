/** What the transparent path and its rules refuse, and how they say it: one line with the reason. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLab } from '../lab/lab.ts';
import { run } from '../lab/netns.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { bundleDriver } from './bundle.ts';
import { commandOf, config, pair, startMember } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);
const FENCE_UID = '7946';
const LEGACY = '/usr/sbin/iptables-legacy';

t.test('a fence that cannot start', { skip }, async (t) => {
  const { ours, fence } = await pair(t, 'start', config('observe'));
  const [node, entry] = commandOf(fence.process().pid);
  // Another admin port, so that the fence in the way is met where it matters.
  const dir = mkdtempSync(join(tmpdir(), 'ringfence-refusals-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  chmodSync(dir, 0o755);
  const file = join(dir, 'ringfence.yaml');
  writeFileSync(file, JSON.stringify({ admin: { address: '127.0.0.1:9747' }, ...config('observe') }));
  const run = (...rights: string[]) =>
    ours.host.tryExec('env', ['-u', 'NODE_OPTIONS', 'setpriv', ...rights, node, entry, 'run', '-c', file]).output;
  const user = ['--reuid', FENCE_UID, '--regid', FENCE_UID, '--clear-groups'];
  const raw = ['--inh-caps=-all,+net_raw', '--ambient-caps=-all,+net_raw'];
  t.match(run(...user, ...raw), /\(1\).*17946.* is in use: another fence/s, 'a second fence in the namespace');
  t.match(run(...user), /\(1\).*CAP_NET_RAW is missing/s, 'without NET_RAW');
  t.match(
    run('--reuid', '7947', '--regid', '7947', '--clear-groups', ...raw),
    /\(1\).*run as uid 7946/s,
    'another uid',
  );
  const status = readFileSync(`/proc/${fence.process().pid}/status`, 'utf8');
  t.match(status, /CapEff:\s+0000000000002000/, 'what runs has NET_RAW and nothing else');
});

t.test('readiness names what is missing', { skip }, async (t) => {
  const lab = createLab({ name: 'ready' });
  t.teardown(() => lab.close());
  const host = lab.addHost('ours');
  const fence = await host.fence(config('observe'), { intercept: false });
  const missing = /rules for IPv4 are not in place.*rules for IPv6 are not in place.*does not listen on TCP port 7946/s;
  await t.rejects(fence.waitUntil('ready', 2_000), missing);
  fence.cli('intercept', '-c', fence.configFile);
  await t.rejects(fence.waitUntil('ready', 2_000), /does not listen on TCP port 7946/);
  const { app } = await startMember(host, 7946, 9100, Number(FENCE_UID));
  await t.rejects(fence.waitUntil('ready', 2_000), /TCP port 7946 has the fence's own uid 7946/);
  await app.kill();
  await startMember(host);
  await t.resolves(fence.waitUntil('ready', 5_000));
  host.exec('nft', ['delete', 'table', 'inet', 'ringfence']);
  const gone = async () => {
    for (let tries = 0; tries < 30; tries++) {
      const told = await fence.get('/readyz').then(
        () => '',
        (error: Error) => error.message,
      );
      if (/IPv4 are not in place: intercepted traffic does not arrive/.test(told)) return true;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return false;
  };
  t.ok(await gone(), 'rules that are flushed while it runs are noticed');
});

t.test('interception', { skip }, async (t) => {
  const lab = createLab({ name: 'rules' });
  t.teardown(() => lab.close());
  const host = lab.addHost('ours');
  const fence = await host.fence(config('observe'), { intercept: false });
  const cli = (...flags: string[]) => fence.cli('intercept', '-c', fence.configFile, ...flags);
  const ruleset = () => host.exec('nft', ['list', 'ruleset']);
  const routing = () =>
    ['-4', '-6'].map((family) => [
      host.exec('ip', [family, 'rule']),
      host
        .exec('ip', [family, 'route', 'show', 'table', 'all'])
        .split('\n')
        .filter((line) => line.includes('table 100')),
    ]);
  const clean = [ruleset(), routing()];

  cli();
  const once = [ruleset(), routing()];
  t.match(once[0], /table inet ringfence/);
  cli();
  t.same([ruleset(), routing()], once, 'installing twice is installing once');
  cli('--fail-open');
  t.match(ruleset(), /table ip6 ringfence_open/);
  cli();
  t.same([ruleset(), routing()], once, 'closing again leaves nothing open');
  cli('--remove');
  t.same([ruleset(), routing()], clean, 'removing leaves nothing');
  t.match(cli('--remove'), /nothing to remove/, 'removing twice is no error');

  const printed = cli('--print');
  host.exec('sh', ['-c', printed]);
  t.same([ruleset(), routing()], once, 'what --print prints does the same');
  cli('--remove');

  const refusal = (install: readonly string[], undo: readonly string[], why: RegExp) => {
    host.exec(install[0] as string, install.slice(1));
    const { ok, output } = attempt(cli);
    t.notOk(ok, `${install.join(' ')} is refused`);
    t.match(output, why);
    t.match(output.trim().split('\n').at(-1) ?? '', /^.*ringfence: intercept: .+$/, 'in one line');
    host.exec(undo[0] as string, undo.slice(1));
  };
  const other = ['nft', 'add', 'table', 'inet', 'ringfence', '{ comment "ringfence fence=two" ; }'];
  refusal(other, ['nft', 'delete', 'table', 'inet', 'ringfence'], /\(1\).*rules of the fence "two"/s);
  refusal(
    ['nft', 'add', 'table', 'inet', 'ringfence'],
    ['nft', 'delete', 'table', 'inet', 'ringfence'],
    /no fence made/,
  );
  const mesh = ['nft', 'add', 'table', 'ip', 'nat', '{ chain ISTIO_OUTPUT { } ; }'];
  refusal(mesh, ['nft', 'delete', 'table', 'ip', 'nat'], /mesh proxy's rules \(ISTIO_OUTPUT\)/);
  if (existsSync(LEGACY)) {
    const chain = [LEGACY, '-t', 'nat', '-N', 'ISTIO_INBOUND'];
    refusal(chain, [LEGACY, '-t', 'nat', '-X', 'ISTIO_INBOUND'], /mesh proxy's rules \(ISTIO_INBOUND\)/);
  }
  const fwmark = ['rule', 'add', 'fwmark', '0x539', 'lookup', '133'];
  refusal(['ip', ...fwmark], ['ip', 'rule', 'del', ...fwmark.slice(2)], /matches fwmark 0x539/);
  const route = ['route', 'add', 'local', '192.0.2.0/24', 'dev', 'lo', 'table', '100'];
  refusal(['ip', ...route], ['ip', 'route', 'del', ...route.slice(2)], /table 100 holds routes that are not ours/);
  cli();
  t.same([ruleset(), routing()], once, 'and nothing of it stuck');

  const [node, entry] = commandOf(fence.process().pid);
  const install = [
    '-u',
    'NODE_OPTIONS',
    'setpriv',
    '--reuid',
    '65534',
    '--regid',
    '65534',
    '--clear-groups',
    node,
    entry,
  ];
  const { output } = host.tryExec('env', [...install, 'intercept', '-c', fence.configFile]);
  t.match(output, /\(1\).*CAP_NET_ADMIN/s);
  const elsewhere = lab.addHost('elsewhere');
  const outside = ['-u', 'NODE_OPTIONS', node, entry, 'intercept', '-c', fence.configFile];
  const entered = attempt(() => run('nsenter', [`--net=/run/netns/${elsewhere.namespace}`, 'env', ...outside]));
  t.match(entered, { ok: true }, "another namespace's /sys does not make this one the host's");
  const bare = ['-i', 'PATH=/nonexistent', node, entry, 'intercept', '-c', fence.configFile];
  t.match(elsewhere.tryExec('env', bare), { ok: true }, 'nft is found without a PATH');
  if (existsSync(LEGACY)) {
    elsewhere.exec(LEGACY, ['-t', 'nat', '-L']);
    const blind = `mount --bind /dev/null $(readlink -f ${LEGACY}-save) && exec env ${outside.join(' ')}`;
    const { ok, output } = elsewhere.tryExec('unshare', ['-m', 'sh', '-c', blind]);
    t.ok(ok, 'legacy tables that cannot be read are no reason to refuse');
    t.match(output, /a mesh proxy there would go unseen/, 'but said');
  }
  const hidden = `mount -t tmpfs none /usr/sbin && exec env -u NODE_OPTIONS ${node} ${entry} intercept -c ${fence.configFile}`;
  const { output: missing } = elsewhere.tryExec('unshare', ['-m', 'sh', '-c', hidden]);
  t.match(missing, /\(1\).*nft \(nftables\) is not installed/s);
});

t.test('the packet worker', { skip }, async (t) => {
  const lab = createLab({ name: 'worker' });
  t.teardown(() => lab.close());
  const host = lab.addHost('ours');
  const driver = await bundleDriver('test/netns/worker-driver.ts', t.testdir());
  const drive = (...args: string[]) => host.exec('env', ['-u', 'NODE_OPTIONS', process.execPath, driver, ...args]);
  t.match(drive('17946'), /^ready\ndied: .+\n$/, 'one that dies is told, once, with the reason');
  t.match(drive('17946', 'stop'), /^ready\nstopped \d{1,2}\n$/, 'one that is told to stop does so within 100 ms');
  const squat = "require('node:dgram').createSocket('udp4').bind(17946, () => process.stdout.write('up\\n'))";
  await host.spawn(process.execPath, ['-e', squat]).waitFor(/^up$/, 10_000);
  t.match(drive('17946'), /^StartError port_in_use UDP port 17946 \(IPv4\) is in use/, 'a taken port is a StartError');
});

function attempt(action: () => string): { readonly ok: boolean; readonly output: string } {
  try {
    return { ok: true, output: action() };
  } catch (error) {
    return { ok: false, output: (error as Error).message };
  }
}
