/** Waits that end together, near to what was asked for. */
import t from 'tap';
import { coarseMs, every } from '../../src/datapath/coarse.ts';

t.test('long waits end on the same tenths of a second, short ones as asked', async (t) => {
  for (let nowMs = 0; nowMs < 5_000; nowMs += 0.7) {
    for (const delayMs of [1_000, 1_234.5, 30_000]) {
      const waitMs = coarseMs(delayMs, nowMs);
      const off = (nowMs + waitMs) % 100;
      const more = waitMs - delayMs;
      if (more < 0 || more > 100 || Math.min(off, 100 - off) > 1e-6) t.fail(`${delayMs} at ${nowMs}: ${waitMs}`);
    }
  }
  t.equal(coarseMs(999, 12_345.6), 999);
});

t.test('one that is late does not put off the next', async (t) => {
  const at: number[] = [];
  const startMs = performance.now();
  const stop = every(1_000, () => {
    at.push(performance.now());
    // Longer than what the grid forgives.
    if (at.length === 1) while (performance.now() - (at[0] ?? 0) < 300);
  });
  await new Promise((resolve) => setTimeout(resolve, 3_250));
  stop();
  t.equal(at.length, 3, `${at.map((ms) => Math.round(ms - startMs))}`);
});

t.test('every so often, until it is stopped', async (t) => {
  const at: number[] = [];
  const stop = every(1_000, () => at.push(performance.now()));
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  stop();
  const seen = at.length;
  t.ok(seen >= 2, `${at}`);
  const late = at.map((ms) => ms % 100);
  t.ok(Math.min(...late) < 30, `one at least just after a tenth of a second: ${late}`);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  t.equal(at.length, seen);
});
