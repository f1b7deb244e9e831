/**
 * Waits of a second and more, for what every fence does now and then: they end on the same tenths of a second in all of them, so that a hundred
 * fences wake their thread ten times a second and not a few hundred times. A waking costs more than most of what it is for.
 */

/** Waits end on multiples of this, ms. */
const GRID_MS = 100;
/** Shorter waits are not moved. */
const COARSE_FROM_MS = 1_000;

/** What to wait from `nowMs` on, in place of `delayMs`: at most half of GRID_MS more or less. */
export function coarseMs(delayMs: number, nowMs: number): number {
  if (delayMs < COARSE_FROM_MS) return delayMs;
  return Math.round((nowMs + delayMs) / GRID_MS) * GRID_MS - nowMs;
}

/** Calls `act` every `intervalMs`, as coarseMs has it, until the result is called. Does not keep the process alive. */
export function every(intervalMs: number, act: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = () => {
    // Node ends a wait up to a millisecond early, by the part that it leaves out.
    timer = setTimeout(run, Math.ceil(coarseMs(intervalMs, performance.now()))).unref();
  };
  const run = () => {
    wait();
    act();
  };
  wait();
  return () => clearTimeout(timer);
}
