import { existsSync } from 'node:fs';
import t from 'tap';
import { createLab } from './lab.ts';
import { parseMetrics, sumMetric } from './metrics.ts';
import { requireTools } from './tools.ts';

t.test('metrics are read, and what is no metric is an error', async (t) => {
  const text = '# HELP a b\nx_total{a="1",b="q\\"\\n"} 2\nx_total{a="2",b=""} 3\ny 1.5e3\nz_bucket{le="+Inf"} +Inf\n';
  const samples = parseMetrics(text);
  t.equal(sumMetric(samples, 'x_total'), 5);
  t.equal(sumMetric(samples, 'x_total', { a: '2' }), 3);
  t.match(samples[0]?.labels, { b: 'q"\n' });
  t.equal(sumMetric(samples, 'y'), 1500);
  t.equal(sumMetric(samples, 'z_bucket'), Number.POSITIVE_INFINITY);
  t.throws(() => sumMetric(samples, 'x_total', { a: '3' }), /no series/);
  t.throws(() => parseMetrics('<html>'), /not a line/);
});

t.test('a lab', { skip: requireTools(['root', 'ip', 'setpriv']) }, async (t) => {
  const lab = createLab({ name: 'self' });
  t.teardown(() => lab.close());
  const one = lab.addHost('one');
  const two = lab.addHost('two', { mtu: 1400 });
  const knock = (address: string) =>
    `const s = require('node:net').connect(7946, '${address}', () => { console.log('in'); s.destroy(); }); ` +
    `s.setTimeout(3000, () => { console.log('timeout'); s.destroy(); }); s.on('error', (e) => console.log(e.code));`;

  const listen =
    "require('node:net').createServer((s) => { console.log('from', s.remoteAddress); s.end(); }).listen(7946, () => console.log('up'))";
  const server = one.spawn(process.execPath, ['-e', listen], { uid: 65534 });
  await server.waitFor(/^up$/, 10_000);
  t.match(two.exec(process.execPath, ['-e', knock(one.ipv4)]), /^in/, 'IPv4 reaches the other host');
  t.match(two.exec(process.execPath, ['-e', knock(one.ipv6)]), /^in/, 'IPv6 too');
  await server.waitFor(new RegExp(`from .*${two.ipv4}$`), 5_000);
  t.match(two.exec('cat', ['/proc/sys/net/ipv4/conf/eth0/rp_filter']), /^1/, 'strict reverse-path check');
  t.match(two.exec('ip', ['link', 'show', 'eth0']), /mtu 1400/);
  t.equal(two.exec('ip', ['route', 'show', 'default']), '', 'no way out');
  t.equal(two.tryExec('false', []).ok, false);
  t.throws(() => two.exec('sh', ['-c', 'echo why >&2; exit 3']), /\(3\): why/);

  const mark = server.mark();
  await t.rejects(server.waitFor(/from/, 50, mark), /no line matched .* within 50 ms/, 'waits are bounded');
  await one.remove();
  t.notOk(server.running(), 'a removed host takes its processes with it');
  await t.rejects(server.waitFor(/never/, 5_000), /before the process ended/);
  const heir = lab.addHost('heir', { ipv4: one.ipv4, ipv6: one.ipv6 });
  t.match(two.exec(process.execPath, ['-e', knock(heir.ipv4)]), /ECONNREFUSED/, 'the recycled address is the heir');

  const left = heir.spawn('sleep', ['60']);
  const namespaces = [heir.namespace, two.namespace];
  await lab.close();
  t.notOk(left.running(), 'closing kills what runs');
  for (const name of namespaces) t.notOk(existsSync(`/run/netns/${name}`), `${name} is gone`);
});
