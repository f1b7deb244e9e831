import t from 'tap';
import {
  ADDRESSES_MAX,
  createResolver,
  type DnsAnswer,
  GONE_MAX,
  LOOKUP_TIMEOUT_MS,
  type Resolver,
  ROUND_GAP_MS,
} from '../../src/control/resolver.ts';
import { LEFT_MAX } from '../../src/control/resolver-name.ts';
import { createFakeClock, type FakeClock, settle } from './fake-clock.ts';

const REFRESH_MS = 30_000;
const GRACE_MS = 60_000;

/** What a name answers: addresses, a failure, or nothing ever. */
type Script = readonly string[] | Error | 'hang' | DnsAnswer;

interface Stand {
  readonly clock: FakeClock;
  readonly resolver: Resolver;
  readonly dns: Map<string, Script>;
  /** Names in the order in which they were looked up. */
  readonly asked: string[];
  readonly told: string[];
  readonly anew: string[];
  /** Look-ups that were aborted. */
  readonly aborted: string[];
}

function stand(names: readonly string[], scripts: Record<string, Script>, graceMs = GRACE_MS): Stand {
  const clock = createFakeClock();
  const dns = new Map(Object.entries(scripts));
  const [asked, told, anew, aborted]: [string[], string[], string[], string[]] = [[], [], [], []];
  const resolver = createResolver({
    names,
    clock,
    refreshMs: REFRESH_MS,
    graceMs,
    onChange: (listed) => anew.push(...listed),
    onProblem: (name, why) => told.push(`${name}: ${why ?? 'well again'}`),
    async lookup(name, signal) {
      asked.push(name);
      signal.addEventListener('abort', () => aborted.push(name));
      const script = dns.get(name);
      if (script === 'hang') return new Promise(() => {});
      if (script === undefined) throw new Error('no such name');
      if (script instanceof Error) throw script;
      return 'addresses' in script ? script : { addresses: script };
    },
  });
  return { clock, resolver, dns, asked, told, anew, aborted };
}

t.test('names are looked up at the start and on a fixed refresh, A and AAAA written one way', async (t) => {
  const { clock, resolver, asked, dns } = stand(['a', 'b'], { a: ['10.0.0.2', '::ffff:10.0.0.1'], b: ['FD00::1'] });
  t.strictSame([resolver.addresses(), resolver.answered(), asked], [[], false, []], 'nothing before the start');
  resolver.start();
  resolver.start();
  await clock.pass(0);
  t.strictSame(resolver.addresses(), ['10.0.0.1', '10.0.0.2', 'fd00::1']);
  t.strictSame(resolver.listed(), resolver.addresses());
  t.equal(resolver.answered(), true);
  t.strictSame(asked, ['a', 'b']);
  dns.set('b', ['fd00::2']);
  await clock.pass(REFRESH_MS - 1);
  t.equal(asked.length, 2);
  await clock.pass(1);
  t.equal(asked.length, 4);
  t.strictSame(resolver.listed(), ['10.0.0.1', '10.0.0.2', 'fd00::2']);
  t.match(resolver.names(), [
    { name: 'a', problem: undefined, addresses: 2, lastSuccessMs: clock.now() },
    { name: 'b', addresses: 1 },
  ]);
  const [before, listed] = [resolver.addresses(), resolver.listed()];
  await clock.pass(REFRESH_MS);
  t.equal(resolver.addresses(), before, 'the same array while nothing changes');
  t.equal(resolver.listed(), listed);
});

t.test('an address that leaves stays for the grace, counted from when it was missed', async (t) => {
  const { clock, resolver, dns } = stand(['a'], { a: ['10.0.0.1', '10.0.0.2'] });
  resolver.start();
  await clock.pass(0);
  dns.set('a', ['10.0.0.2']);
  await clock.pass(REFRESH_MS);
  t.strictSame(resolver.listed(), ['10.0.0.2']);
  t.strictSame(resolver.addresses(), ['10.0.0.1', '10.0.0.2']);
  await clock.pass(GRACE_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.1', '10.0.0.2'], 'a grace later, to the millisecond');
  await clock.pass(1);
  t.strictSame(resolver.addresses(), ['10.0.0.2']);
});

t.test('an empty answer empties: it is an answer, and not everyone', async (t) => {
  const { clock, resolver, dns } = stand(['a'], { a: ['10.0.0.1'] });
  resolver.start();
  await clock.pass(0);
  dns.set('a', []);
  await clock.pass(REFRESH_MS + GRACE_MS + 1);
  t.strictSame(resolver.addresses(), []);
  t.equal(resolver.answered(), true);
});

t.test('a name that fails keeps its last good answer, however long; said once, and its end once', async (t) => {
  const { clock, resolver, dns, told } = stand(['a', 'b'], { a: ['10.0.0.1'], b: ['10.0.0.2'] });
  resolver.start();
  await clock.pass(0);
  const goodMs = clock.now();
  dns.set('a', new Error('SERVFAIL'));
  dns.set('b', ['10.0.0.3']);
  await clock.pass(3 * REFRESH_MS);
  dns.set('a', new Error('time-out'));
  await clock.pass(100 * GRACE_MS);
  t.strictSame(resolver.listed(), ['10.0.0.1', '10.0.0.3']);
  t.strictSame(resolver.addresses(), ['10.0.0.1', '10.0.0.3']);
  t.strictSame(told, ['a: SERVFAIL']);
  t.match(resolver.names()[0], { problem: 'time-out', lastSuccessMs: goodMs, addresses: 1 });
  dns.set('a', ['10.0.0.1']);
  await clock.pass(2 * REFRESH_MS);
  t.strictSame(told, ['a: SERVFAIL', 'a: well again']);
  t.equal(resolver.names()[0]?.problem, undefined);
});

t.test('a part that failed is said although there is an answer', async (t) => {
  const { clock, resolver, told } = stand(['a'], { a: { addresses: ['10.0.0.1'], problem: 'AAAA: SERVFAIL' } });
  resolver.start();
  await clock.pass(0);
  t.strictSame(told, ['a: AAAA: SERVFAIL']);
  t.match(resolver.names(), [{ problem: 'AAAA: SERVFAIL', addresses: 1, lastSuccessMs: clock.now() }]);
});

t.test('asking at once is coalesced, and limited to a round a second', async (t) => {
  const { clock, resolver, asked } = stand(['a'], { a: ['10.0.0.1'] });
  await resolver.ask();
  t.strictSame(asked, [], 'not before the start');
  resolver.start();
  t.equal(resolver.ask(), resolver.ask(), 'the round under way is joined');
  await resolver.ask();
  t.equal(asked.length, 1);
  await clock.pass(100);
  const answers: number[] = [];
  for (let i = 0; i < 1_000; i++) void resolver.ask().then(() => answers.push(clock.now()));
  const startMs = clock.now() - 100;
  await clock.pass(ROUND_GAP_MS - 101);
  t.strictSame([asked.length, answers.length], [1, 0], 'too soon');
  await clock.pass(1);
  t.strictSame([asked.length, answers.length], [2, 1_000]);
  t.equal(answers[0], startMs + ROUND_GAP_MS);
  for (let i = 0; i < 100; i++) {
    void resolver.ask();
    await clock.pass(100);
  }
  t.equal(asked.length, 12, 'ten in ten seconds');
  await clock.pass(REFRESH_MS);
  t.equal(asked.length, 13, 'the refresh counts from the last round');
});

t.test('without names nothing is asked', async (t) => {
  const { clock, resolver, asked } = stand([], {});
  resolver.start();
  await resolver.ask();
  await clock.pass(REFRESH_MS * 3);
  t.strictSame([asked, resolver.addresses(), resolver.answered()], [[], [], true]);
  t.equal(clock.planned(), 0);
});

t.test('a look-up that hangs ends by the clock, and delays no other name', async (t) => {
  const { clock, resolver, told, aborted, dns } = stand(['a', 'b'], { a: 'hang', b: ['10.0.0.2'] });
  resolver.start();
  let over = false;
  void resolver.ask().then(() => {
    over = true;
  });
  await clock.pass(1);
  t.strictSame(resolver.addresses(), ['10.0.0.2'], 'at once');
  t.strictSame([resolver.answered(), over], [false, false]);
  await clock.pass(LOOKUP_TIMEOUT_MS);
  t.strictSame(told, ['a: no answer within 10 s']);
  t.strictSame([aborted, over], [['a'], true]);
  dns.set('a', ['10.0.0.1']);
  await clock.pass(REFRESH_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.1', '10.0.0.2']);
  t.strictSame(told, ['a: no answer within 10 s', 'a: well again']);
});

t.test('nothing expires while a round is under way: an address may move from name to name', async (t) => {
  const { clock, resolver, dns } = stand(['a', 'b'], { a: ['10.0.0.1'], b: [] }, 0);
  resolver.start();
  await clock.pass(0);
  dns.set('a', []);
  dns.set('b', 'hang');
  await clock.pass(REFRESH_MS + 5_000);
  t.strictSame(resolver.listed(), []);
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
  await clock.pass(LOOKUP_TIMEOUT_MS);
  t.strictSame(resolver.addresses(), [], 'and goes when the round is over');
});

t.test('what a look-up brings after a stop is dropped; a new start goes on with what was known', async (t) => {
  let answer: (answer: DnsAnswer) => void = () => {};
  const clock = createFakeClock();
  const changes: string[] = [];
  const resolver = createResolver({
    names: ['a'],
    clock,
    refreshMs: REFRESH_MS,
    graceMs: GRACE_MS,
    onChange: () => changes.push('change'),
    onProblem: (name) => changes.push(name),
    lookup: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  });
  resolver.start();
  const asked = resolver.ask();
  resolver.stop();
  await asked;
  answer({ addresses: ['10.0.0.1'] });
  await settle();
  t.strictSame([resolver.addresses(), changes], [[], []]);
  t.equal(clock.planned(), 0, 'no call is left behind');
  resolver.stop();
  resolver.start();
  await clock.pass(ROUND_GAP_MS);
  answer({ addresses: ['10.0.0.1'] });
  await settle();
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
  resolver.stop();
  await clock.pass(REFRESH_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
});

t.test('other names: what the old ones listed stays for the grace, the new ones are asked soon', async (t) => {
  const { clock, resolver, dns, asked } = stand(['a'], { a: ['10.0.0.1'], b: ['10.0.0.2'] });
  resolver.start();
  await clock.pass(0);
  resolver.change({ names: ['b'], graceMs: GRACE_MS });
  t.strictSame([resolver.listed(), resolver.answered()], [[], false]);
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
  await clock.pass(ROUND_GAP_MS);
  t.strictSame(asked, ['a', 'b']);
  t.strictSame(resolver.addresses(), ['10.0.0.1', '10.0.0.2']);
  await clock.pass(GRACE_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.2']);
  dns.set('a', ['10.0.0.9']);
  resolver.change({ names: ['a', 'b'], graceMs: 0 });
  await clock.pass(ROUND_GAP_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.2', '10.0.0.9']);
  resolver.change({ names: [], graceMs: 0 });
  await clock.pass(1);
  t.strictSame([resolver.addresses(), resolver.answered(), resolver.names()], [[], true, []]);
  t.equal(clock.planned(), 0);
});

t.test('what names listed that are gone outlives the grace until those in their place have answered', async (t) => {
  const { clock, resolver, dns } = stand(['a'], { a: ['10.0.0.1'], b: new Error('SERVFAIL') });
  resolver.start();
  await clock.pass(0);
  resolver.change({ names: ['b'], graceMs: GRACE_MS });
  await clock.pass(10 * GRACE_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
  for (let i = 0; i < GONE_MAX; i++) {
    dns.set(`c${i}`, [`10.1.0.${i}`]);
    resolver.change({ names: ['b', `c${i}`], graceMs: GRACE_MS });
    await clock.pass(ROUND_GAP_MS);
  }
  resolver.change({ names: ['b'], graceMs: GRACE_MS });
  t.equal(resolver.addresses().length, GONE_MAX, 'bounded: the first to go are out');
  t.notOk(resolver.addresses().includes('10.0.0.1'));
  dns.set('b', ['10.0.0.2']);
  await clock.pass(10 * GRACE_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.2']);
});

t.test('a name that is given back while DNS fails has what it had listed', async (t) => {
  const { clock, resolver, dns } = stand(['a'], { a: ['10.0.0.1'], b: new Error('SERVFAIL') });
  resolver.start();
  await clock.pass(0);
  resolver.change({ names: ['b'], graceMs: GRACE_MS });
  dns.set('a', new Error('SERVFAIL'));
  resolver.change({ names: ['a'], graceMs: GRACE_MS });
  await clock.pass(10 * GRACE_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
  dns.set('a', ['10.0.0.2']);
  await clock.pass(10 * GRACE_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.2']);
});

t.test('names that change while a round is under way', async (t) => {
  const { clock, resolver, dns, asked } = stand(['a', 'c'], { a: 'hang', b: ['10.0.0.2'], c: ['10.0.0.3'] });
  resolver.start();
  await clock.pass(0);
  resolver.change({ names: ['b'], graceMs: GRACE_MS });
  dns.set('a', ['10.0.0.66']);
  await clock.pass(LOOKUP_TIMEOUT_MS);
  t.strictSame(asked, ['a', 'c', 'b'], 'as soon as the round is over');
  t.strictSame(resolver.addresses(), ['10.0.0.2', '10.0.0.3']);
  t.strictSame(resolver.names(), [{ name: 'b', lastSuccessMs: clock.now(), problem: undefined, addresses: 1 }]);
});

t.test('an answer with too many addresses is none; what leaves is bounded as well', async (t) => {
  const many = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${prefix}.${Math.floor(i / 250)}.${i % 250}`);
  const { clock, resolver, dns, told } = stand(['a'], { a: ['10.0.0.1', 'no address', ''] });
  resolver.start();
  await clock.pass(0);
  t.strictSame(resolver.addresses(), ['10.0.0.1'], 'what is no address is left out');
  dns.set('a', many('10.1', ADDRESSES_MAX + 1));
  await clock.pass(REFRESH_MS);
  t.strictSame(resolver.addresses(), ['10.0.0.1']);
  t.strictSame(told, [`a: the answer has more than ${ADDRESSES_MAX} addresses`]);
  dns.set('a', many('10.1', ADDRESSES_MAX));
  await clock.pass(REFRESH_MS);
  dns.set('a', many('10.2', ADDRESSES_MAX));
  await clock.pass(REFRESH_MS);
  t.equal(resolver.addresses().length, ADDRESSES_MAX + LEFT_MAX);
  t.match(told.at(-1), /more than 10000 addresses left the answers within the grace/);
});

t.test('an address that comes back, or comes anew, is said so; first answers and what stays are not', async (t) => {
  const { clock, resolver, dns, anew } = stand(['a', 'b'], { a: ['10.0.0.1'], b: ['10.0.0.2'] });
  resolver.start();
  await clock.pass(REFRESH_MS * 2);
  t.strictSame(anew, []);
  dns.set('a', []);
  await clock.pass(REFRESH_MS);
  t.strictSame(anew, []);
  dns.set('a', ['10.0.0.1', '10.0.0.2', '10.0.0.7']);
  await clock.pass(REFRESH_MS);
  t.strictSame(anew, ['10.0.0.1', '10.0.0.7'], 'within the grace too; b had 10.0.0.2 all the time');
  dns.set('a', new Error('x'));
  await clock.pass(REFRESH_MS);
  dns.set('a', ['10.0.0.1']);
  await clock.pass(REFRESH_MS);
  t.equal(anew.length, 2, 'a failure is no absence');
});
