/**
 * Waits of a second and more, for what every fence does now and then: they end on the same tenths of a second in all of them, so that a hundred
 * fences wake their thread ten times a second and not a few hundred times. A waking costs more than most of what it is for.
 */

/** Waits end on multiples of this, ms. */
const GRID_MS = 100;
/** Shorter waits are not moved. */
const COARSE_FROM_MS = 1_000;

const onGrid = (atMs: number): number => Math.ceil(atMs / GRID_MS) * GRID_MS;

/** What to wait from `nowMs` on, in place of `delayMs`: up to GRID_MS more, never less. */
export function coarseMs(delayMs: number, nowMs: number): number {
  return delayMs < COARSE_FROM_MS ? delayMs : onGrid(nowMs + delayMs) - nowMs;
}

/** Calls `act` every `intervalMs`, on the grid, until the result is called. A call that is late does not put off the next. Does not keep the process alive. */
export function every(intervalMs: number, act: () => void): () => void {
  let dueMs = performance.now();
  let timer: NodeJS.Timeout;
  const wait = () => {
    const nowMs = performance.now();
    // After a standstill there is nothing to catch up with.
    dueMs = onGrid(Math.max(dueMs, nowMs - intervalMs) + intervalMs);
    // Node leaves out parts of a millisecond.
    timer = setTimeout(run, Math.ceil(dueMs - nowMs)).unref();
  };
  const run = () => {
    wait();
    act();
  };
  wait();
  return () => clearTimeout(timer);
}
