/** Faults in the log: the first of a fence and code at once, what repeats as one line an interval. */
import type { Logger } from 'pino';
import type { Fault } from '../datapath/engine.ts';

/** Fences times codes of faults and what they are about; all are closed lists of ours, so this is never reached. */
const FAULT_KEYS_MAX = 10_000;

export interface FaultLog {
  note(fence: string, fault: Fault): void;
  /** Ends an interval: writes what was held back. */
  flush(): void;
}

export function createFaultLog(logger: Pick<Logger, 'warn'>): FaultLog {
  const faults = new Map<string, Fault & { readonly fence: string; readonly count: number }>();
  return {
    note(fence, { code, message, about = '' }) {
      const key = `${fence} ${code} ${about}`;
      const held = faults.get(key);
      if (held !== undefined) faults.set(key, { ...held, message, count: held.count + 1 });
      else if (faults.size < FAULT_KEYS_MAX) {
        faults.set(key, { fence, code, message, count: 0 });
        logger.warn({ fence, code }, message);
      }
    },
    flush() {
      for (const { fence, code, message, count } of faults.values()) {
        if (count > 0) logger.warn({ fence, code, count }, `${message} (the last of ${count} more)`);
      }
      faults.clear();
    },
  };
}
