/** A pump's host with a hand-wound clock, and sources of frames. */
import type { PumpHost } from '../../src/datapath/inspection-pump.ts';
import type { FrameSource } from '../../src/ring/source.ts';

export interface ManualHost extends PumpHost {
  /** Lets `ms` pass: work that was scheduled runs when it is due; what nobody spent counts as idle time, unless `busy`. */
  pass(ms: number, busy?: boolean): void;
  /** The same while others have the core. */
  starve(ms: number): void;
  /** Time that the caller's own work takes. */
  spend(ms: number): void;
}

export function manualHost(): ManualHost {
  let nowMs = 0;
  let idleMs = 0;
  let stolenMs = 0;
  let timers: { atMs: number; call: () => void }[] = [];
  return {
    now: () => nowMs,
    idleMs: () => idleMs,
    cpuMs: () => nowMs - idleMs - stolenMs,
    after(delayMs, call) {
      timers.push({ atMs: nowMs + delayMs, call });
    },
    spend(ms) {
      nowMs += ms;
    },
    starve(ms) {
      nowMs += ms;
      stolenMs += ms;
    },
    pass(ms, busy = false) {
      const endMs = nowMs + ms;
      for (;;) {
        timers.sort((a, b) => a.atMs - b.atMs);
        const due = timers[0];
        if (due === undefined || due.atMs > endMs) break;
        timers = timers.slice(1);
        if (due.atMs > nowMs) {
          if (!busy) idleMs += due.atMs - nowMs;
          nowMs = due.atMs;
        }
        due.call();
      }
      if (endMs > nowMs) {
        if (!busy) idleMs += endMs - nowMs;
        nowMs = endMs;
      }
    },
  };
}

export function source(change: Partial<FrameSource> = {}): FrameSource {
  return {
    atMs: 1_000.5,
    direction: 'inbound',
    transport: 'native',
    kind: 'packet',
    peer: { address: '10.0.0.9', port: 7946 },
    labelState: 'own',
    label: Buffer.from('blue'),
    rejected: false,
    answer: false,
    ...change,
  };
}
