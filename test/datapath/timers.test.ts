import fc from 'fast-check';
import t from 'tap';
import { createTimerQueue, NODE_TIMERS, type Timer } from '../../src/datapath/timers.ts';

t.test('a queue of timers fires as a plain model of it does', (t) => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('set' as const), ms: fc.constantFrom(0, 5, 5, 20, 100) }),
    fc.record({ do: fc.constantFrom('clear' as const, 'refresh' as const), which: fc.nat(30) }),
    fc.record({ do: fc.constant('pass' as const), ms: fc.nat(40) }),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let nowMs = 0;
        const queue = createTimerQueue(() => nowMs);
        const timers: Timer[] = [];
        const fired: number[] = [];
        /** By number: when each is due; undefined once it fired or was cleared. */
        const due: (number | undefined)[] = [];
        const lengths: number[] = [];
        for (const step of steps) {
          if (step.do === 'set') {
            const number = timers.length;
            timers.push(queue.set(step.ms, () => fired.push(number)));
            due.push(nowMs + step.ms);
            lengths.push(step.ms);
          } else if (step.do === 'pass') {
            nowMs += step.ms;
            const before = fired.length;
            queue.run(nowMs);
            const expected = due.flatMap((at, number) => (at !== undefined && at <= nowMs ? [number] : []));
            for (const number of expected) due[number] = undefined;
            if (
              fired
                .slice(before)
                .toSorted((a, b) => a - b)
                .join() !== expected.join()
            )
              throw new Error('others fired');
          } else {
            const number = step.which % Math.max(1, timers.length);
            timers[number]?.[step.do]();
            if (due[number] !== undefined)
              due[number] = step.do === 'clear' ? undefined : nowMs + (lengths[number] ?? 0);
          }
          const waits = due.filter((at) => at !== undefined);
          const next = waits.length === 0 ? undefined : Math.min(...waits);
          if (queue.nextMs() !== next) throw new Error(`next is ${queue.nextMs()}, not ${next}`);
        }
      }),
      { numRuns: 500 },
    ),
  );
  t.end();
});

t.test('timers that clear and set others as they fire', (t) => {
  let nowMs = 0;
  const queue = createTimerQueue(() => nowMs);
  const fired: string[] = [];
  const first = queue.set(10, () => {
    fired.push('first');
    first.refresh();
    second.clear();
    queue.set(10, () => fired.push('later'));
  });
  const second = queue.set(10, () => fired.push('second'));
  queue.set(10, () => fired.push('third'));
  nowMs = 10;
  queue.run(nowMs);
  t.same(fired, ['first', 'third']);
  t.equal(queue.nextMs(), 20);
  nowMs = 20;
  queue.run(nowMs);
  t.same(fired, ['first', 'third', 'later']);
  t.equal(queue.nextMs(), undefined);
  t.end();
});

t.test('one that throws is not fired again, and the others are not lost', (t) => {
  const queue = createTimerQueue(() => 0);
  const fired: string[] = [];
  queue.set(1, () => {
    throw new Error('on purpose');
  });
  queue.set(1, () => fired.push('second'));
  t.throws(() => queue.run(1), /on purpose/);
  queue.run(1);
  t.same(fired, ['second']);
  t.end();
});

t.test("node's timers by the same contract", async (t) => {
  const fired: string[] = [];
  const one = NODE_TIMERS.set(5, () => fired.push('one'));
  const two = NODE_TIMERS.set(5, () => fired.push('two'));
  two.clear();
  two.refresh();
  await new Promise((resolve) => setTimeout(resolve, 60));
  one.refresh();
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.same(fired, ['one']);
});

t.test("node's timers fire in time, whichever of them was set first", async (t) => {
  const fired: string[] = [];
  const startMs = performance.now();
  const long = NODE_TIMERS.set(10_000, () => fired.push('long'));
  const took = new Promise<number>((resolve) => {
    NODE_TIMERS.set(40, () => {
      fired.push('short');
      resolve(performance.now() - startMs);
    });
  });
  NODE_TIMERS.set(10, () => fired.push('shorter'));
  // The timers keep no process alive.
  const alive = setTimeout(() => undefined, 5_000);
  t.ok((await took) >= 40);
  clearTimeout(alive);
  t.same(fired, ['shorter', 'short']);
  long.clear();
});
