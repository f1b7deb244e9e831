/** SIGTERM and SIGINT as values to wait for; SIGHUP ends nothing. */

export interface Signals {
  /** The next one that was not waited for yet. */
  next(): Promise<string>;
}

/** Signals that are kept while nobody waits; more than it takes to end mean nothing new. */
const KEPT_MAX = 2;

/**
 * Takes over both signals for the rest of the process: without a gap, because a signal that finds no listener ends the process on
 * the spot, and supervisors and terminals often send two at once.
 */
export function takeSignals(): Signals {
  const kept: string[] = [];
  let waiter: ((signal: string) => void) | undefined;
  const take = (signal: string) => {
    if (waiter !== undefined) {
      waiter(signal);
      waiter = undefined;
    } else if (kept.length < KEPT_MAX) kept.push(signal);
  };
  process.on('SIGTERM', take).on('SIGINT', take);
  // Whoever looks at the file on it (reload.ts) may not be there yet, and sees it then.
  process.on('SIGHUP', () => {});
  return {
    next() {
      const signal = kept.shift();
      if (signal !== undefined) return Promise.resolve(signal);
      return new Promise((resolve) => {
        waiter = resolve;
      });
    },
  };
}
