/** Time-outs of the data paths: node's, or those of a loop that blocks in the kernel (linux/loop.ts), where node's never fire. */
import { Chain, type Linked } from './chain.ts';

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

export interface TimerQueue extends Timers {
  /** When the next one is due; undefined: none waits. */
  nextMs(): number | undefined;
  /** Fires what is due at `nowMs`. A timer that throws is not fired again; its error goes to the caller. */
  run(nowMs: number): void;
}

/** Timers of one length in the order of their ends: setting and refreshing put last, so nothing is sorted. */
class Row extends Chain<QueuedTimer> {
  readonly ms: number;

  constructor(ms: number) {
    super();
    this.ms = ms;
  }
}

class QueuedTimer implements Timer, Linked<QueuedTimer> {
  endMs: number;
  /** While it waits. */
  linked = false;
  before: QueuedTimer | undefined;
  after: QueuedTimer | undefined;
  readonly #row: Row;
  readonly #now: () => number;
  readonly fire: () => void;

  constructor(row: Row, now: () => number, fire: () => void) {
    this.#row = row;
    this.#now = now;
    this.fire = fire;
    this.endMs = now() + row.ms;
    row.append(this);
  }

  refresh(): void {
    if (!this.linked) return;
    this.endMs = this.#now() + this.#row.ms;
    if (this.after === undefined) return;
    this.#row.remove(this);
    this.#row.append(this);
  }

  clear(): void {
    if (this.linked) this.#row.remove(this);
  }
}

/** Timers over a clock in ms. Meant for a few different lengths: each has a row of its own, kept for good. */
export function createTimerQueue(now: () => number): TimerQueue {
  const rows: Row[] = [];
  const rowOf = (ms: number): Row => {
    for (const row of rows) if (row.ms === ms) return row;
    const row = new Row(ms);
    rows.push(row);
    return row;
  };
  return {
    set: (ms, fire) => new QueuedTimer(rowOf(ms), now, fire),
    nextMs() {
      let next: number | undefined;
      for (const { first } of rows) {
        if (first !== undefined && (next === undefined || first.endMs < next)) next = first.endMs;
      }
      return next;
    },
    run(nowMs) {
      for (const row of rows) {
        // What is set while it runs waits for the next turn.
        const end = row.last;
        for (let timer = row.first; timer !== undefined && timer.endMs <= nowMs; timer = row.first) {
          row.remove(timer);
          timer.fire();
          if (timer === end) break;
        }
      }
    },
  };
}

/**
 * Timers of node's, for which one of its own waits: many are set, and few ever fire. They keep no process alive: the sockets that they are for do.
 */
export const NODE_TIMERS: Timers = nodeTimers();

function nodeTimers(): Timers {
  const queue = createTimerQueue(() => performance.now());
  let waiting: NodeJS.Timeout | undefined;
  let dueMs = Number.POSITIVE_INFINITY;
  const wait = (): void => {
    const nextMs = queue.nextMs() ?? Number.POSITIVE_INFINITY;
    if (nextMs >= dueMs) return;
    clearTimeout(waiting);
    dueMs = nextMs;
    waiting = setTimeout(look, Math.max(1, nextMs - performance.now())).unref();
  };
  const look = (): void => {
    dueMs = Number.POSITIVE_INFINITY;
    try {
      queue.run(performance.now());
    } finally {
      wait();
    }
  };
  return {
    set(ms, fire) {
      const timer = queue.set(ms, fire);
      wait();
      return timer;
    },
  };
}
