/** Time-outs of the data paths: node's, or those of a loop that blocks in the kernel (linux/loop.ts), where node's never fire. */

export interface Timer {
  /** Starts its time anew; of a timer that was cleared or has fired it does nothing. */
  refresh(): void;
  /** May be called again, and after it has fired. */
  clear(): void;
}

export interface Timers {
  /** Calls `fire` once, after `ms` or a little later. */
  set(ms: number, fire: () => void): Timer;
}

export const NODE_TIMERS: Timers = {
  set(ms, fire) {
    let live = true;
    const timer = setTimeout(() => {
      live = false;
      fire();
    }, ms);
    return {
      // node would start one that has fired again.
      refresh: () => void (live && timer.refresh()),
      clear() {
        live = false;
        clearTimeout(timer);
      },
    };
  },
};

export interface TimerQueue extends Timers {
  /** When the next one is due; undefined: none waits. */
  nextMs(): number | undefined;
  /** Fires what is due at `nowMs`. A timer that throws is not fired again; its error goes to the caller. */
  run(nowMs: number): void;
}

/** Times of one length in the order of their ends: setting and refreshing put last, so nothing is sorted. */
interface Row {
  readonly ms: number;
  readonly waiting: Set<QueuedTimer>;
}

class QueuedTimer implements Timer {
  endMs: number;
  readonly #row: Row;
  readonly #now: () => number;
  readonly fire: () => void;

  constructor(row: Row, now: () => number, fire: () => void) {
    this.#row = row;
    this.#now = now;
    this.fire = fire;
    this.endMs = now() + row.ms;
    row.waiting.add(this);
  }

  refresh(): void {
    if (!this.#row.waiting.delete(this)) return;
    this.endMs = this.#now() + this.#row.ms;
    this.#row.waiting.add(this);
  }

  clear(): void {
    this.#row.waiting.delete(this);
  }
}

/** Timers over a clock in ms. Meant for a few different lengths: each has a row of its own, kept for good. */
export function createTimerQueue(now: () => number): TimerQueue {
  const rows = new Map<number, Row>();
  const rowOf = (ms: number): Row => {
    const known = rows.get(ms);
    if (known !== undefined) return known;
    const row = { ms, waiting: new Set<QueuedTimer>() };
    rows.set(ms, row);
    return row;
  };
  return {
    set: (ms, fire) => new QueuedTimer(rowOf(ms), now, fire),
    nextMs() {
      let next: number | undefined;
      for (const { waiting } of rows.values()) {
        const [first] = waiting;
        if (first !== undefined && (next === undefined || first.endMs < next)) next = first.endMs;
      }
      return next;
    },
    run(nowMs) {
      for (const { waiting } of rows.values()) {
        for (const timer of waiting) {
          if (timer.endMs > nowMs) break;
          waiting.delete(timer);
          timer.fire();
        }
      }
    },
  };
}
