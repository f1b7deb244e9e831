/** Waiting for an answer without mistaking our own lateness for the other side's silence. */
import type { Clock } from '../control/clock.ts';

/** A timer that fires this much later than asked for: the process was busy, stopped, or its clock jumped. */
const LATE_MS = 250;

/** How often a wait that ended late starts anew; each is as long as the first. */
const RENEWALS_MAX = 3;

/**
 * Calls `onOver` once `waitMs` have passed in which we could have heard an answer; `heard` is false when every try ended late, so that
 * silence means nothing. The returned function cancels it. What had arrived by then is read first.
 */
export function patience(clock: Clock, waitMs: number, onOver: (heard: boolean) => void): () => void {
  let renewals = 0;
  let cancelled = false;
  let cancelTimer = () => {};
  const wait = (): void => {
    const dueMs = clock.now() + waitMs;
    cancelTimer = clock.after(waitMs, () => {
      const late = clock.now() - dueMs > LATE_MS;
      if (late && renewals < RENEWALS_MAX) {
        renewals++;
        wait();
        return;
      }
      // Timers run before sockets are read: an answer that is there already must not lose.
      setImmediate(() => {
        if (!cancelled) onOver(!late);
      });
    });
  };
  wait();
  return () => {
    cancelled = true;
    cancelTimer();
  };
}
