/** The life of a transparent fence: an app that is not there, a shutdown that waits for the app, a namespace without IPv6. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLab } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { commandOf, config, counter, digest, FOREIGN, OWN, pair, startMember, unfinished } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);
const noSetcap = existsSync('/usr/sbin/setcap') || existsSync('/sbin/setcap') ? false : 'setcap is not installed';
const openFiles = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const pipeEnds = (pid: number) =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('pipe:')).length;
/** Both ends of the two empty pipes that the engine keeps for the next long streams (linux/splice-pipes.ts). */
const KEPT_PIPE_ENDS = 4;

for (const tcpSource of ['peer', 'pod']) {
  t.test(`streams to an app that is not there, tcpSource ${tcpSource}`, { skip }, async (t) => {
    const { ours, bare, fence } = await pair(t, `gone-${tcpSource}`, config('observe', { tcpSource }));
    await ours.app.kill();
    const before = openFiles(fence.process().pid);
    for (let i = 0; i < 10; i++) {
      const { error, bytes } = await bare.tcp(ours.host.ipv4, 100);
      if (bytes !== 0 || (error !== undefined && !/ECONNRESET|EPIPE/.test(error)))
        t.fail(`got ${bytes} bytes, ${error}`);
    }
    await bare.tcp(ours.host.ipv6, 100);
    await new Promise((resolve) => setTimeout(resolve, 500));
    t.ok(openFiles(fence.process().pid) <= before, 'no file descriptor is left behind');
    t.equal(await fence.metric('app_up'), 0);
    const { app } = await startMember(ours.host);
    t.match(
      await bare.tcp(ours.host.ipv4, 100),
      { error: undefined, bytes: 101 },
      'and it serves when the app is back',
    );
    t.ok(app.running());
  });
}

t.test('many streams at once leave nothing behind', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'many', config('label'));
  const { pid } = fence.process();
  const [before, pipesBefore] = [openFiles(pid), pipeEnds(pid)];
  const burst = () =>
    Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        i % 2 === 0 ? bare.tcp(ours.host.ipv4, 20_000, { prefix: `${OWN}08` }) : ours.tcp(bare.host.ipv4, 20_000),
      ),
    );
  for (let round = 0; round < 5; round++) {
    const answers = await burst();
    t.same(
      answers.filter(({ error }) => error !== undefined),
      [],
      'none fails',
    );
    t.ok(
      answers.every(({ bytes }, i) => bytes === (i % 2 === 0 ? 20_001 : 20_011)),
      'none is short',
    );
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  const kept = pipeEnds(pid) - pipesBefore;
  t.ok(kept <= KEPT_PIPE_ENDS, `${kept} ends of pipes are kept`);
  t.ok(openFiles(pid) - kept <= before, 'no other file descriptor is left behind');
  t.same([...unfinished(ours.host), ...unfinished(bare.host)], [], 'no connection hangs half-closed');
  t.equal(counter(ours.host, 'bypass_out'), 0);
});

t.test('a shutdown forwards until the app is gone', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'drain', config('label'));
  const running = fence.process();
  process.kill(running.pid, 'SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 700));
  t.ok(running.running(), 'the app is there, so the fence is');
  t.match(
    await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)),
    ` ${OWN.slice(0, 8)}`,
    'new datagrams pass, fenced',
  );
  t.match(await ours.tcp(bare.host.ipv4, 10), { error: undefined, bytes: 21 }, 'and new streams');
  await ours.app.kill();
  const from = performance.now();
  t.equal(await running.exited(5_000), 0);
  t.ok(performance.now() - from < 2_000, 'it ends soon after the app');
});

/** Loaded into the fence: makes the packet worker throw once the file is there. */
const SABOTAGE = `
const { existsSync } = require('node:fs');
const threads = require('node:worker_threads');
const { receiveMessageOnPort } = threads;
if (!threads.isMainThread) {
  threads.receiveMessageOnPort = (port) => {
    if (existsSync(process.env.SABOTAGE)) throw new Error('told to die');
    return receiveMessageOnPort(port);
  };
  require('node:module').syncBuiltinESMExports();
}`;

t.test('a packet worker that dies ends the fence, closed', { skip }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ringfence-life-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, 'sabotage.cjs'), SABOTAGE);
  chmodSync(dir, 0o755);
  const signal = join(dir, 'die');
  const { ours, bare, fence } = await pair(t, 'dies', config('observe'));
  const [node, entry] = commandOf(fence.process().pid);
  await fence.kill9();
  // `env` because tap adds hooks of its own to NODE_OPTIONS, and the fence's user may not write what they write at the end.
  const sabotage = [`NODE_OPTIONS=--require=${join(dir, 'sabotage.cjs')}`, `SABOTAGE=${signal}`];
  const raw = ['--inh-caps=-all,+net_raw', '--ambient-caps=-all,+net_raw', '--bounding-set=-all,+net_raw'];
  const user = ['setpriv', '--reuid', '7946', '--regid', '7946', '--clear-groups', ...raw];
  const running = ours.host.spawn('env', [...sabotage, ...user, node, entry, 'run', '-c', fence.configFile]);
  await running.waitFor(/"msg":"ready"/, 10_000);
  await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10));
  writeFileSync(signal, '');
  t.equal(await running.exited(5_000), 1);
  const line = running.lines().find((text) => text.includes('worker_died')) ?? '';
  t.match(line, /the engine's thread died \(told to die\): nothing passes any more/);
  t.same(await bare.during(() => ours.udp(bare.host.ipv4, 10)), []);
  t.match(await bare.tcp(ours.host.ipv4, 10, { timeout: '300' }), { error: 'TIMEOUT' });
});

t.test(
  'NET_RAW by a file capability that is permitted only, as in the image',
  { skip: skip || noSetcap },
  async (t) => {
    const { ours, bare, fence } = await pair(t, 'caps', config('label'));
    const [node, entry] = commandOf(fence.process().pid);
    await fence.kill9();
    const dir = mkdtempSync(join(tmpdir(), 'ringfence-life-'));
    t.teardown(() => rmSync(dir, { recursive: true, force: true }));
    chmodSync(dir, 0o755);
    const capable = join(dir, 'node');
    copyFileSync(node, capable);
    ours.host.exec('setcap', ['cap_net_raw+p', capable]);
    const user = ['--reuid', '7946', '--regid', '7946', '--clear-groups', '--bounding-set=-all,+net_raw'];
    const clean = ['-u', 'NODE_OPTIONS', 'setpriv', ...user, capable, entry, 'run', '-c', fence.configFile];
    const running = ours.host.spawn('env', clean);
    await running.waitFor(/"msg":"ready"/, 10_000);
    t.match(await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10)), ` ${OWN.slice(0, 8)}`);
    const taken = await ours.gets(/^tcp/, () => bare.tcp(ours.host.ipv4, 10, { prefix: `${OWN}08` }));
    t.match(taken, `tcp ${bare.host.ipv4} 11 `);
    t.match(await ours.tcp(bare.host.ipv6, 10), { error: undefined, bytes: 21 });
  },
);

const TABLE = '/proc/net/nf_conntrack';
const noConntrack = existsSync(TABLE) ? false : `${TABLE} is not there`;

t.test("a mark that outlived the fence's connection lets nobody through", { skip: skip || noConntrack }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'stale', config('observe'));
  const dial = (from: number, then: string) => {
    const to = `{ port: 7946, host: '${bare.host.ipv4}', localPort: ${from} }`;
    const code = `const s = require('node:net').connect(${to}, () => { s.write('\\x08'); ${then} });
      s.setTimeout(1000, () => { console.log('timeout'); process.exit(); }); s.on('error', (e) => console.log(e.code));`;
    return ours.host.spawn(process.execPath, ['-e', code], { uid: 65_534 });
  };
  const hold = dial(0, "setTimeout(() => console.log('held'), 300)");
  await hold.waitFor(/held/, 5_000);
  const port = Number(/sport=(\d+) dport=7946 .*mark=4 /.exec(ours.host.exec('cat', [TABLE]))?.[1]);
  t.ok(port > 0, "the fence's own connection is marked");
  // The fence dies and neither FIN nor RST gets out: for the kernel's tables the connection lives on for days.
  ours.host.exec('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries']);
  const mute = '{ chain o { type filter hook output priority -300; tcp flags & (rst | fin) != 0 drop; }; }';
  ours.host.exec('nft', ['add', 'table', 'inet', 'mute', mute]);
  await fence.kill9();
  await hold.kill();
  const orphan = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  for (let i = 0; i < 50 && ours.host.exec('cat', ['/proc/net/tcp']).includes(orphan); i++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  t.match(ours.host.exec('cat', [TABLE]), new RegExp(`ESTABLISHED .*sport=${port} dport=7946 .*mark=4 `));
  const before = counter(ours.host, 'bypass_out');
  t.match(await dial(port, "console.log('connected')").waitFor(/./, 5_000), 'timeout', 'the app with the same port');
  t.ok(counter(ours.host, 'bypass_out') > before, 'is dropped and counted');
});

t.test('a namespace without IPv6', { skip }, async (t) => {
  const lab = createLab({ name: 'four' });
  t.teardown(() => lab.close());
  const host = lab.addHost('ours', { ipv6: false });
  for (const where of ['all', 'default', 'lo']) {
    host.exec('sh', ['-c', `echo 1 > /proc/sys/net/ipv6/conf/${where}/disable_ipv6`]);
  }
  const ours = await startMember(host);
  const bare = await startMember(lab.addHost('bare'));
  const fence = await host.fence(config('label'), { until: 'ready' });
  t.equal(fence.lines().filter((line) => line.includes('ipv6_absent')).length, 1, 'said once');
  const out = await bare.gets(/^udp/, () => ours.udp(bare.host.ipv4, 10));
  t.match(out, `udp ${host.ipv4} 7946 21 ${digest(`${OWN}08`, 10)}`);
  t.match(await bare.tcp(host.ipv4, 10, { prefix: `${OWN}08` }), { error: undefined, bytes: 11 });
  t.same(await ours.during(() => bare.udp(host.ipv4, 10, { prefix: `${FOREIGN}08` })), []);
  t.match(fence.cli('intercept', '-c', fence.configFile), /IPv6 is off/);
});
