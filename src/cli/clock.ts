/** The process's clock: monotonic, so that a wall clock that jumps moves nothing. */
import type { Clock } from '../control/clock.ts';
import { coarseMs } from '../datapath/coarse.ts';

/** The longest delay that a timer of Node takes, ms; a longer one would come at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Milliseconds since the epoch as the process's start saw it; never runs backwards, and is the same in every thread. */
export function monotonicNow(): number {
  return performance.timeOrigin + performance.now();
}

export const SYSTEM_CLOCK: Clock = {
  now: monotonicNow,
  after(delayMs, act) {
    const waitMs = coarseMs(delayMs, performance.now());
    const timer = setTimeout(act, Math.min(Math.max(waitMs, 0), TIMER_MAX_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
