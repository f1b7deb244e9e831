import t, { type Test } from 'tap';
import { createLookup, type Lookup } from '../../src/cli/dns.ts';
import type { ResolvConf } from '../../src/cli/resolv-conf.ts';
import type { DnsAnswer } from '../../src/control/resolver.ts';
import { type DnsServer, RCODE, startDnsServer } from './dns-server.ts';

const NO_SEARCH: ResolvConf = { search: [], ndots: 1 };

async function stand(t: Test, conf: ResolvConf = NO_SEARCH): Promise<DnsServer & { readonly lookup: Lookup }> {
  const server = await startDnsServer();
  t.teardown(() => server.stop());
  return { ...server, lookup: createLookup({ servers: [server.server], resolvConf: async () => conf }) };
}

/** The answer with its addresses sorted. */
async function ask(lookup: Lookup, name = 'ring.test'): Promise<DnsAnswer> {
  const { addresses, problem } = await lookup(name, new AbortController().signal);
  return { addresses: [...addresses].sort(), problem };
}

t.test('A and AAAA together; one of them alone is fine', async (t) => {
  const { zone, lookup, asked } = await stand(t);
  zone.set('ring.test A', { addresses: ['10.0.0.1', '10.0.0.2'] });
  zone.set('ring.test AAAA', { addresses: ['fd00::1'] });
  t.strictSame(await ask(lookup), { addresses: ['10.0.0.1', '10.0.0.2', 'fd00::1'], problem: undefined });
  t.strictSame([...asked].sort(), ['udp ring.test A', 'udp ring.test AAAA']);
  zone.delete('ring.test AAAA');
  t.strictSame(await ask(lookup), { addresses: ['10.0.0.1', '10.0.0.2'], problem: undefined });
  zone.delete('ring.test A');
  zone.set('ring.test AAAA', { addresses: ['fd00::2'] });
  t.strictSame(await ask(lookup), { addresses: ['fd00::2'], problem: undefined }, 'and no cache answers');
});

t.test('a name without addresses is an empty answer, a name that is not there a failure', async (t) => {
  const { zone, lookup } = await stand(t);
  await t.rejects(ask(lookup), { message: 'no such name (NXDOMAIN)' });
  zone.set('ring.test A', { rcode: RCODE.ok });
  t.strictSame(await ask(lookup), { addresses: [], problem: undefined });
});

t.test('every failure has words', async (t) => {
  const { zone, lookup } = await stand(t);
  const cases: [number, RegExp][] = [
    [RCODE.servFail, /^A of ring\.test: the server failed \(SERVFAIL\)$/],
    [RCODE.refused, /^A of ring\.test: the server refused \(REFUSED\)$/],
    [RCODE.notImp, /^A of ring\.test: the server cannot answer this \(NOTIMP\)$/],
    [RCODE.formErr, /^A of ring\.test: the server did not understand \(FORMERR\)$/],
  ];
  for (const [rcode, message] of cases) {
    for (const type of ['A', 'AAAA']) zone.set(`ring.test ${type}`, { rcode });
    await t.rejects(ask(lookup), { message }, String(message));
  }
  const nobody = createLookup({ servers: ['127.0.0.1:9'], resolvConf: async () => NO_SEARCH });
  await t.rejects(ask(nobody), { message: /^A of ring\.test: no (server there|answer in time)/ });
});

t.test('silence and garbage end in time, and are failures', async (t) => {
  const { zone, lookup } = await stand(t);
  for (const [reply, what] of [
    ['silence', 'silence'],
    [{ raw: new Uint8Array(3) }, 'three bytes'],
    [{ raw: new Uint8Array(60).fill(0xff) }, 'sixty bytes'],
  ] as const) {
    for (const type of ['A', 'AAAA']) zone.set(`ring.test ${type}`, reply);
    const startMs = performance.now();
    await t.rejects(ask(lookup), { message: /^A of ring\.test: (no answer in time|the answer cannot be read)$/ }, what);
    t.ok(performance.now() - startMs < 8_000, `${what}: ${Math.round(performance.now() - startMs)} ms`);
  }
});

t.test('a look-up ends with its signal', async (t) => {
  const { zone, lookup } = await stand(t, { search: ['a.test', 'b.test', 'c.test'], ndots: 5 });
  for (const domain of ['a.test', 'b.test', 'c.test']) zone.set(`ring.${domain} A`, 'silence');
  const controller = new AbortController();
  const startMs = performance.now();
  setTimeout(() => controller.abort(), 50);
  await t.rejects(lookup('ring', controller.signal), Error);
  t.ok(performance.now() - startMs < 450);
});

t.test('an answer that is too long for a datagram comes by TCP', async (t) => {
  const { zone, lookup, asked } = await stand(t);
  const addresses = Array.from({ length: 2_000 }, (_, i) => `10.1.${Math.floor(i / 250)}.${i % 250}`);
  zone.set('ring.test A', { addresses, truncate: true });
  const answer = await ask(lookup);
  t.strictSame(answer.addresses, [...addresses].sort());
  t.ok(asked.includes('tcp ring.test A'), 'by TCP');
});

t.test('a family that fails keeps what it last gave, and that is said', async (t) => {
  const { zone, lookup } = await stand(t);
  zone.set('ring.test A', { addresses: ['10.0.0.1'] });
  zone.set('ring.test AAAA', { rcode: RCODE.servFail });
  const problem = 'AAAA of ring.test: the server failed (SERVFAIL)';
  t.strictSame(await ask(lookup), { addresses: ['10.0.0.1'], problem }, 'a family that never answered');
  zone.set('ring.test AAAA', { addresses: ['fd00::1'] });
  t.strictSame(await ask(lookup), { addresses: ['10.0.0.1', 'fd00::1'], problem: undefined });
  zone.set('ring.test AAAA', { rcode: RCODE.servFail });
  zone.set('ring.test A', { addresses: ['10.0.0.2'] });
  t.strictSame(await ask(lookup), { addresses: ['10.0.0.2', 'fd00::1'], problem });
  t.strictSame(await ask(lookup), { addresses: ['10.0.0.2', 'fd00::1'], problem }, 'however long');
  zone.set('ring.test A', { rcode: RCODE.ok });
  await t.rejects(ask(lookup), { message: problem }, 'no family has addresses: nothing is known');
});

t.test('a service: its targets, whose failures take nobody with them', async (t) => {
  const { zone, lookup } = await stand(t);
  const name = '_memberlist._tcp.ring.test';
  zone.set(`${name} SRV`, { targets: ['a.ring.test', 'b.ring.test', 'gone.ring.test', 'a.ring.test'] });
  zone.set('a.ring.test A', { addresses: ['10.0.0.1'] });
  zone.set('b.ring.test AAAA', { addresses: ['fd00::2'] });
  t.strictSame(await ask(lookup, name), { addresses: ['10.0.0.1', 'fd00::2'], problem: undefined });
  for (const type of ['A', 'AAAA']) zone.set(`b.ring.test ${type}`, { rcode: RCODE.servFail });
  const problem = 'A of b.ring.test: the server failed (SERVFAIL)';
  t.strictSame(await ask(lookup, name), { addresses: ['10.0.0.1', 'fd00::2'], problem });
  t.strictSame(await ask(lookup, name), { addresses: ['10.0.0.1', 'fd00::2'], problem });
  for (const type of ['A', 'AAAA']) zone.set(`a.ring.test ${type}`, { rcode: RCODE.servFail });
  t.match(await ask(lookup, name), { addresses: ['10.0.0.1', 'fd00::2'] });
  zone.set(`${name} SRV`, { targets: ['.'] });
  t.strictSame(await ask(lookup, name), { addresses: [], problem: undefined }, 'decidedly not there');
  zone.set(`${name} SRV`, { targets: ['new.ring.test'] });
  for (const type of ['A', 'AAAA']) zone.set(`new.ring.test ${type}`, { rcode: RCODE.refused });
  await t.rejects(ask(lookup, name), { message: 'A of new.ring.test: the server refused (REFUSED)' });
  zone.set(`${name} SRV`, { targets: Array.from({ length: 2_001 }, (_, i) => `p${i}.x`) });
  await t.rejects(ask(lookup, name), { message: 'more than 2000 targets' });
  zone.set(`${name} SRV`, { rcode: RCODE.servFail });
  await t.rejects(ask(lookup, name), { message: `SRV of ${name}: the server failed (SERVFAIL)` });
});

t.test('the search list: what answered once is the name', async (t) => {
  const { zone, lookup, asked } = await stand(t, { search: ['ns.test', 'wild.test'], ndots: 5 });
  zone.set('ring.ns.test A', { addresses: ['10.0.0.1'] });
  zone.set('ring.wild.test A', { addresses: ['192.0.2.66'] });
  t.match(await ask(lookup, 'ring'), { addresses: ['10.0.0.1'] });
  t.notOk(
    asked.some((row) => row.includes('wild')),
    'the first that answers ends it',
  );
  for (const type of ['A', 'AAAA']) zone.set(`ring.ns.test ${type}`, { rcode: RCODE.servFail });
  await t.rejects(ask(lookup, 'ring'), { message: /^A of ring\.ns\.test: the server failed/ }, 'not the wildcard');
  for (const type of ['A', 'AAAA']) zone.set(`ring.ns.test ${type}`, { rcode: RCODE.ok });
  t.match(await ask(lookup, 'ring'), { addresses: [] }, 'emptied, and not the wildcard');
  zone.delete('ring.ns.test A');
  zone.delete('ring.ns.test AAAA');
  t.match(await ask(lookup, 'ring'), { addresses: ['192.0.2.66'] }, 'the name is gone');
});

t.test('a domain of the search list that fails does not hide the name itself', async (t) => {
  const { zone, lookup } = await stand(t, { search: ['broken.test', 'empty.test'], ndots: 5 });
  for (const type of ['A', 'AAAA']) zone.set(`ring.test.broken.test ${type}`, { rcode: RCODE.servFail });
  zone.set('ring.test.empty.test A', { rcode: RCODE.ok });
  await t.rejects(ask(lookup), { message: /SERVFAIL/ }, 'neither empty nor absent while one is not known');
  zone.set('ring.test A', { addresses: ['10.0.0.1'] });
  t.match(await ask(lookup), { addresses: ['10.0.0.1'] });
  t.match(await ask(lookup, 'ring.test.'), { addresses: ['10.0.0.1'] });
});
