import t from 'tap';
import { candidatesOf, parseResolvConf, readResolvConf } from '../../src/cli/resolv-conf.ts';

t.test('a pod of Kubernetes', async (t) => {
  const conf = parseResolvConf(
    'search traces.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n',
  );
  t.strictSame(conf, { search: ['traces.svc.cluster.local', 'svc.cluster.local', 'cluster.local'], ndots: 5 });
  t.strictSame(candidatesOf('ring', conf), [
    'ring.traces.svc.cluster.local',
    'ring.svc.cluster.local',
    'ring.cluster.local',
    'ring',
  ]);
  t.strictSame(candidatesOf('ring.traces.svc.cluster.local', conf).at(-1), 'ring.traces.svc.cluster.local');
  t.strictSame(candidatesOf('a.b.c.d.e.f', conf)[0], 'a.b.c.d.e.f', 'dots enough');
  t.strictSame(candidatesOf('ring.traces.svc.cluster.local.', conf), ['ring.traces.svc.cluster.local']);
});

t.test('as resolv.conf(5) has it, and whatever else is in the file', async (t) => {
  t.strictSame(parseResolvConf(''), { search: [], ndots: 1 });
  t.strictSame(parseResolvConf('domain a.test b.test\nsearch c.test. d.test\n'), {
    search: ['c.test', 'd.test'],
    ndots: 1,
  });
  t.strictSame(parseResolvConf('search c.test\ndomain a.test b.test').search, ['a.test']);
  t.strictSame(parseResolvConf('# search x\n; search y\n  search\tz.test  \r\n').search, ['z.test']);
  t.equal(parseResolvConf('options rotate ndots:3 timeout:1\noptions ndots:99').ndots, 15);
  t.equal(parseResolvConf('options ndots:-1 ndots: ndots:x').ndots, 1);
  t.equal(parseResolvConf('options ndots:0').ndots, 0);
  t.equal(parseResolvConf(`search ${'a.test '.repeat(100)}`).search.length, 32, 'bounded');
  t.strictSame(candidatesOf('ring', { search: ['', 'x'.repeat(253)], ndots: 1 }), ['ring'], 'no name is too long');
  t.strictSame(candidatesOf('ring', { search: ['a.test'], ndots: 0 }), ['ring', 'ring.a.test']);
});

t.test('the file of this machine', async (t) => {
  const { search, ndots } = await readResolvConf();
  t.ok(Array.isArray(search) && ndots >= 0);
});
