/** Ways past the fence that a match of addresses and ports alone does not see, and what changes while it runs. */
import t from 'tap';
import { createLab, type Host } from '../lab/lab.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { config, counter, digest, FAMILIES, FOREIGN, OWN, pair } from './transparent-kit.ts';

const skip = requireTools(LAB_TOOLS);

/** Sends one foreign datagram to an address that is not ours alone. */
function cast(host: Host, to: string): void {
  const type = to.includes(':') ? 'udp6' : 'udp4';
  const prepare = type === 'udp4' ? `s.setBroadcast(true); s.setMulticastInterface('${host.ipv4}');` : '';
  const code = `const s = require('node:dgram').createSocket('${type}'); s.bind(0, () => { ${prepare}
    s.send(Buffer.from('${FOREIGN}08', 'hex'), 7946, '${to}', (error) => { s.close(); if (error) throw error; }); });`;
  host.exec('env', ['-u', 'NODE_OPTIONS', process.execPath, '-e', code]);
}

t.test('datagrams to everyone are addressed to the app too', { skip }, async (t) => {
  const { ours, bare } = await pair(t, 'cast', config('enforce'));
  for (const { host } of [ours, bare]) {
    host.exec('ip', ['addr', 'change', `${host.ipv4}/24`, 'broadcast', '10.77.0.255', 'dev', 'eth0']);
    host.exec('ip', ['route', 'add', 'default', 'dev', 'eth0']);
  }
  // Then the subnet's anycast address is one of ours as well.
  ours.host.exec('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding']);
  for (const to of ['10.77.0.255', '255.255.255.255', '224.0.0.1', 'ff02::1%eth0', 'fd77::']) {
    const before = counter(ours.host, 'bypass_in');
    const mark = ours.app.mark();
    cast(bare.host, to);
    // The owner of an anycast address lets a second pass before it answers neighbour discovery.
    for (let i = 0; i < 30 && counter(ours.host, 'bypass_in') === before; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    t.equal(counter(ours.host, 'bypass_in'), before + 1, `${to}: dropped by the kernel`);
    t.same(ours.app.lines(mark), []);
  }
});

/** Both ends of a stream on which the server writes ten times a second, acknowledged or not; the client says what arrives. */
const SERVER = `require('node:net').createServer({ noDelay: true }, (s) => {
  s.on('error', () => {}); const timer = setInterval(() => s.write('state'), 100); s.on('close', () => clearInterval(timer));
}).listen(7946, '::', () => console.log('up'));`;
const client = (to: string) => `const s = require('node:net').connect(7946, '${to}');
  s.on('data', () => console.log('data')); s.on('error', (error) => console.log(error.code)); setTimeout(() => {}, 60000);`;

t.test('a stream that is older than the rules is cut, whoever dialled', { skip }, async (t) => {
  const lab = createLab({ name: 'older' });
  t.teardown(() => lab.close());
  const hosts = [lab.addHost('ours'), lab.addHost('bare')] as const;
  const node = (host: Host, code: string) => host.spawn(process.execPath, ['-e', code], { uid: 65_534 });
  await Promise.all(hosts.map((host) => node(host, SERVER).waitFor(/up/, 5_000)));
  const [ours, bare] = hosts;
  const fence = await ours.fence(config('enforce'), { intercept: false });
  for (const family of FAMILIES) {
    const clients = [node(bare, client(ours[family])), node(ours, client(bare[family]))];
    await Promise.all(clients.map((one) => one.waitFor(/data/, 5_000)));
    fence.cli('intercept', '-c', fence.configFile);
    // What was said while the rules were made has still to be read.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const marks = clients.map((one) => one.mark());
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const data = clients.map((one, i) => one.lines(marks[i]).filter((line) => line === 'data'));
    t.same(data, [[], []], `${family}: not a byte more goes out or comes in`);
    fence.cli('intercept', '-c', fence.configFile, '--remove');
  }
});

t.test('datagrams over the MTU after our address changed', { skip }, async (t) => {
  const { ours, bare } = await pair(t, 'moves', config('label'));
  for (const [family, next, second] of [
    ['ipv4', '10.77.0.90/24', '10.77.0.92'],
    ['ipv6', 'fd77::90/64', 'fd77::92'],
  ] as const) {
    const them = bare.host[family];
    const nodad = family === 'ipv6' ? ['nodad'] : [];
    bare.host.exec('ip', ['addr', 'add', `${second}/${family === 'ipv4' ? 24 : 64}`, 'dev', 'eth0', ...nodad]);
    await bare.gets(/^udp/, () => ours.udp(them, 4_000));
    ours.host.exec('ip', ['addr', 'del', `${ours.host[family]}/${family === 'ipv4' ? 24 : 64}`, 'dev', 'eth0']);
    ours.host.exec('ip', ['addr', 'add', next, 'dev', 'eth0', ...nodad]);
    // Another destination, because the MTU of the first one's route is remembered for a while.
    const out = await bare.gets(/^udp/, () => ours.udp(second, 4_000));
    t.match(out, `udp ${next.split('/')[0]} 7946 4011 ${digest(`${OWN}08`, 4_000)} `);
  }
});

t.test('an address that is a moment old is ours', { skip }, async (t) => {
  const { ours, bare, fence } = await pair(t, 'fresh', config('enforce', { tcpSource: 'pod' }));
  for (const [next, length] of [
    ['10.77.0.91', 24],
    ['fd77::91', 64],
  ] as const) {
    const mine = next.includes(':') ? bare.host.ipv6 : bare.host.ipv4;
    for (let i = 0; i < 2; i++) await bare.gets(/^udp/, () => ours.udp(mine, 10));
    ours.host.exec('ip', ['addr', 'add', `${next}/${length}`, 'dev', 'eth0', ...(next.includes(':') ? ['nodad'] : [])]);
    const seen = await ours.during(async () => {
      await Promise.all([bare.udp(next, 10), bare.tcp(next, 10)]);
    });
    t.same(seen, [], `${next}: nothing bare gets in`);
  }
  t.equal(await fence.metric('rejected_total', { reason: 'label_missing', direction: 'inbound' }), 4);
});
