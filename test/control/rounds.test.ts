import fc from 'fast-check';
import t from 'tap';
import { createRounds, ROUND_TARGETS_MAX } from '../../src/control/rounds.ts';
import { PROPERTY } from '../property.ts';
import { createFakeClock } from './fake-clock.ts';

const INTERVAL_MS = 10_000;
const IN_FLIGHT_MAX = 4;

interface Stand {
  /** How long a visit takes, ms. */
  readonly visitMs: (target: number) => number;
  readonly targets: () => readonly number[];
}

function stand({ visitMs, targets }: Stand) {
  const clock = createFakeClock();
  const skew = { ms: 0 };
  const seen = {
    intervalMs: INTERVAL_MS,
    begins: 0,
    ends: 0,
    open: 0,
    openMax: 0,
    visits: [] as { target: number; atMs: number }[],
  };
  const startedMs = clock.now();
  const rounds = createRounds<number>({
    clock: { now: () => clock.now() + skew.ms, after: clock.after },
    intervalMs: () => seen.intervalMs,
    inFlightMax: IN_FLIGHT_MAX,
    begin() {
      seen.begins++;
      return targets();
    },
    async visit(target) {
      seen.visits.push({ target, atMs: clock.now() - startedMs });
      seen.open++;
      seen.openMax = Math.max(seen.openMax, seen.open);
      const tookMs = visitMs(target);
      if (tookMs > 0) await new Promise<void>((resolve) => void clock.after(tookMs, resolve));
      seen.open--;
      if (target === 13) throw new Error('a visit that rejects is one that has ended');
    },
    end() {
      seen.ends++;
    },
  });
  return { clock, rounds, seen, skew };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

t.test('visits are spread over the interval, each target once a round', async (t) => {
  const { clock, rounds, seen } = stand({ visitMs: () => 5, targets: () => upTo(20) });
  rounds.start();
  rounds.start();
  await clock.pass(INTERVAL_MS - 1);
  t.strictSame(
    seen.visits.map(({ atMs }) => atMs),
    upTo(20).map((i) => i * 500),
  );
  t.strictSame([seen.begins, seen.ends], [1, 1]);
  await clock.pass(INTERVAL_MS);
  t.strictSame(
    seen.visits.slice(20).map(({ target }) => target),
    upTo(20),
    'and again, a target that rejects too',
  );
  t.strictSame([seen.begins, seen.ends, seen.openMax], [2, 2, 1]);
});

t.test('the interval is asked for anew at the start of each round', async (t) => {
  const { clock, rounds, seen } = stand({ visitMs: () => 5, targets: () => upTo(2) });
  rounds.start();
  await clock.pass(1_000);
  seen.intervalMs = 1_000;
  await clock.pass(INTERVAL_MS + 999);
  t.strictSame(
    seen.visits.map(({ atMs }) => atMs),
    [0, 5_000, 10_000, 10_500, 11_000, 11_500],
  );
});

t.test('what does not answer makes a round longer, never wider', async (t) => {
  const { clock, rounds, seen } = stand({ visitMs: () => 2_000, targets: () => upTo(100) });
  rounds.start();
  await clock.pass(49_999);
  t.strictSame([seen.begins, seen.ends, seen.openMax, seen.visits.length], [1, 0, IN_FLIGHT_MAX, 100]);
  // Four start within the first 400 ms, and four more as they end.
  await clock.pass(302);
  t.strictSame([seen.begins, seen.ends], [2, 1], 'the next begins when the last visit has ended');
});

t.test('more targets than timer steps, and than there may be', async (t) => {
  const many = stand({ visitMs: () => 0, targets: () => upTo(ROUND_TARGETS_MAX + 5) });
  many.rounds.start();
  await many.clock.pass(15_000);
  t.equal(Math.max(...many.seen.visits.map(({ target }) => target)), ROUND_TARGETS_MAX - 1);
  const lastMs = many.seen.visits[ROUND_TARGETS_MAX - 1]?.atMs ?? 0;
  t.ok(lastMs >= INTERVAL_MS - 20 && lastMs <= INTERVAL_MS + 20, `spread over the interval, the last at ${lastMs} ms`);
});

t.test('nobody to visit', async (t) => {
  let targets: number[] = [];
  const { clock, rounds, seen } = stand({ visitMs: () => 5, targets: () => targets });
  rounds.start();
  await clock.pass(5_500);
  t.strictSame([seen.begins, seen.visits.length, seen.ends], [6, 0, 0], 'looked for once a second');
  targets = [1];
  await clock.pass(500);
  t.equal(seen.visits.length, 1, 'and visited at once');
});

t.test('stopping, also while visits are under way', async (t) => {
  const { clock, rounds, seen } = stand({ visitMs: () => 3_000, targets: () => upTo(10) });
  rounds.start();
  await clock.pass(1_500);
  t.equal(seen.visits.length, 2);
  rounds.stop();
  rounds.stop();
  await clock.pass(30_000);
  t.strictSame([seen.visits.length, seen.ends, clock.planned()], [2, 0, 0]);
  rounds.start();
  await clock.pass(100);
  t.strictSame([seen.begins, seen.visits.length], [2, 3], 'a new start is a new round');
  rounds.stop();
  rounds.start();
  await clock.pass(3_000);
  t.equal(seen.visits.length, 7, 'visits of the run before do not move this one on');
});

t.test('a clock that jumps', async (t) => {
  const { clock, rounds, seen, skew } = stand({ visitMs: () => 1_000, targets: () => upTo(100) });
  rounds.start();
  await clock.pass(1_000);
  const before = seen.visits.length;
  skew.ms = 3_600_000;
  await clock.pass(1_000);
  t.ok(seen.visits.length - before <= 2 * IN_FLIGHT_MAX, 'all are due, and go as many at a time as ever');
  t.equal(seen.openMax, IN_FLIGHT_MAX);
  await clock.pass(60_000);
  t.equal(new Set(seen.visits.slice(0, 100).map(({ target }) => target)).size, 100, 'nobody is left out');
});

t.test('however long visits take: never too many at a time, never one target twice a round', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 10 }),
        async (count, times) => {
          const visitMs = (target: number) => times[target % times.length] as number;
          const { clock, rounds, seen } = stand({ visitMs, targets: () => upTo(count) });
          rounds.start();
          await clock.pass(45_000);
          const first = seen.visits.slice(0, count).map(({ target }) => target);
          if (seen.openMax > IN_FLIGHT_MAX) throw new Error(`${seen.openMax} at a time`);
          if (`${first}` !== `${upTo(count)}`) throw new Error(`visited ${first}`);
          rounds.stop();
        },
      ),
      { ...PROPERTY, numRuns: 20 },
    ),
  );
});
