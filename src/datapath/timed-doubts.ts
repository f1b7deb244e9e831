/** Doubts (doubts.ts) of the main thread, where a timer ends what has waited too long. */
import { createDoubts, type DoubtsOptions, type DoubtsQueue } from './doubts.ts';
import type { Doubts } from './engine.ts';

export interface TimedDoubts extends Doubts {
  /** Ends the timer; what still waits is not called any more. The paths are stopped before. */
  stop(): void;
}

/** Its timer never keeps the process alive. */
export function createTimedDoubts(options: DoubtsOptions): TimedDoubts {
  const queue: DoubtsQueue = createDoubts(options);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const schedule = (delayMs: number): void => {
    clearTimeout(timer);
    timer = setTimeout(onTime, Math.max(1, Math.ceil(delayMs))).unref();
  };
  const onTime = (): void => {
    timer = undefined;
    const nowMs = options.now();
    const nextMs = queue.expire(nowMs);
    if (nextMs !== undefined && !stopped) schedule(nextMs - nowMs);
  };
  return {
    wait(peer, bytes, again) {
      const waits = !stopped && queue.wait(peer, bytes, again);
      // Waits end in the order in which they began: a timer that runs is early enough.
      if (waits && timer === undefined) schedule(options.waitMs);
      return waits;
    },
    ask: (peer) => queue.ask(peer),
    answered: (address, upTo) => queue.answered(address, upTo),
    waiting: () => queue.waiting(),
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
