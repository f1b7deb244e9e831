/** DNS that flaps at random against what must hold: whoever was listed within the grace is admitted, nobody else is, and never everyone. */
import * as fc from 'fast-check';
import t from 'tap';
import { createResolver, LOOKUP_TIMEOUT_MS } from '../../src/control/resolver.ts';
import { PROPERTY } from '../property.ts';
import { createFakeClock } from './fake-clock.ts';

const NAMES = ['a', 'b', 'c'];
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1'];

interface GoodAnswer {
  readonly atMs: number;
  readonly addresses: readonly string[];
}

type Script = { readonly addresses: readonly string[]; readonly delayMs: number } | 'fails' | 'hangs';

const script: fc.Arbitrary<Script> = fc.oneof(
  { weight: 4, arbitrary: fc.subarray(ADDRESSES).map((addresses) => ({ addresses, delayMs: 0 })) },
  {
    weight: 2,
    arbitrary: fc.record({ addresses: fc.subarray(ADDRESSES), delayMs: fc.integer({ min: 1, max: 20_000 }) }),
  },
  { weight: 2, arbitrary: fc.constant('fails' as const) },
  { weight: 1, arbitrary: fc.constant('hangs' as const) },
);
/** What a name answers from now on, what else happens, and how long nothing does. */
const step = fc.record({
  name: fc.constantFrom(...NAMES),
  script,
  does: fc.constantFrom('nothing', 'nothing', 'ask', 'restart'),
  ms: fc.integer({ min: 0, max: 20_000 }),
});

t.test('any flapping', async (t) => {
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }),
    fc.constantFrom(0, 5_000, 60_000),
    async (steps, graceMs) => {
      const clock = createFakeClock();
      const scripts = new Map<string, Script>();
      /** Good answers that reached the resolver, by name. */
      const good = new Map<string, GoodAnswer[]>(NAMES.map((name) => [name, []]));
      const resolver = createResolver({
        names: NAMES,
        clock,
        refreshMs: 7_000,
        graceMs,
        onChange: () => {},
        onProblem: () => {},
        lookup(name, signal) {
          const now = scripts.get(name) ?? 'fails';
          if (now === 'fails') return Promise.reject(new Error('SERVFAIL'));
          if (now === 'hangs') return new Promise(() => {});
          return new Promise((resolve) => {
            const answer = () => {
              if (!signal.aborted) good.get(name)?.push({ atMs: clock.now(), addresses: now.addresses });
              resolve({ addresses: now.addresses });
            };
            if (now.delayMs === 0) answer();
            else clock.after(now.delayMs, answer);
          });
        },
      });
      resolver.start();
      for (const row of steps) {
        scripts.set(row.name, row.script);
        if (row.does === 'ask') void resolver.ask();
        if (row.does === 'restart') {
          resolver.stop();
          resolver.start();
        }
        await clock.pass(row.ms);
        check(resolver.addresses(), [...good.values()], graceMs, clock.now());
      }
      resolver.stop();
      if (clock.planned() > steps.length * NAMES.length) throw new Error('calls are left behind');
    },
  );
  await t.resolves(fc.assert(property, { numRuns: PROPERTY.numRuns / 4, endOnFailure: true }));
});

/** `good` are the answers of each name in order. */
function check(admitted: readonly string[], good: readonly GoodAnswer[][], graceMs: number, nowMs: number): void {
  for (const address of ADDRESSES) {
    const listed = good.some((answers) => answers.at(-1)?.addresses.includes(address));
    const missedMs = Math.max(...good.map((answers) => missedSince(answers, address)));
    const is = admitted.includes(address);
    if ((listed || nowMs - missedMs <= graceMs) && !is) throw new Error(`${address} is not admitted`);
    // Nothing expires within a round, which lasts as long as its longest look-up.
    if (!listed && nowMs - missedMs > graceMs + LOOKUP_TIMEOUT_MS && is) throw new Error(`${address} is admitted`);
  }
  for (const address of admitted) if (!ADDRESSES.includes(address)) throw new Error(`${address} was never listed`);
}

/** When the name last gave an answer without the address after one with it; long ago when it never did. */
function missedSince(answers: readonly GoodAnswer[], address: string): number {
  let missedMs = Number.NEGATIVE_INFINITY;
  answers.forEach((answer, i) => {
    if (!answer.addresses.includes(address) && answers[i - 1]?.addresses.includes(address)) missedMs = answer.atMs;
  });
  return missedMs;
}
