/**
 * When inspection runs: one pump for the process takes what waits, a few milliseconds at a time, so that forwarding in the same thread
 * keeps its pace. Its allowance is a share of the time that passed, small under load and larger when the thread was idle; a piece that
 * took longer than was left is paid back before the next. Lanes take turns by bytes, so that a flood on one keeps no other waiting.
 */
import type { Lane, Piece } from './inspection-queue.ts';

/** What inspection may take of this thread's time on a core whatever else it does. */
export const BUSY_SHARE = 0.04;
/**
 * What it may take of the time beyond IDLE_FROM of all time in which this thread was idle and no other of the process ran instead. The kernel's waking up late looks idle too, so a thread that is
 * idle for less than that may well be forwarding all that it can on a crowded machine.
 */
const IDLE_SHARE = 0.6;
const IDLE_FROM = 0.5;

/** The longest turn, ms: what a frame may wait for inspection, a single piece's time aside. */
export const TURN_MS = 4;
/** What the allowance grows to at most, ms: time that was idle is no credit for a flood. */
const ALLOWANCE_MAX_MS = TURN_MS;
/** Between turns while something waits. */
const BUSY_INTERVAL_MS = 10;
/**
 * Between looks while nothing does: what comes from another thread says nothing, unless it is urgent (linux/engine-worker.ts). Each look costs the datagrams
 * that pass next on this core their warm caches, so that few long ones are better than many short ones.
 */
const IDLE_INTERVAL_MS = 500;
/** The same while a fence has used up its bytes, so that it has its next ones in time. */
const THROTTLED_INTERVAL_MS = 100;
/** Bytes taken from one lane before the next has its turn. */
const BURST_BYTES = 16 * 1024;
/** Bytes that a piece counts for beside its own: the smallest frames cost time too. */
const PIECE_BYTES = 64;

/** One fence's inspection, as the pump sees it. */
export interface Pumped {
  readonly lanes: readonly Lane[];
  /** Bytes that may be inspected each second. */
  readonly bytesPerSecond: number;
  /** Inspects one piece. Never throws. */
  inspect(piece: Piece): void;
}

export interface Pump {
  /** Takes from the lanes of `fence` from now on; the result ends that. */
  add(fence: Pumped): () => void;
  /** Something was queued in this thread, or should not wait in another's rings. */
  wake(): void;
}

/** The thread's clock and timers. */
export interface PumpHost {
  /** Monotonic, ms, with fractions. */
  now(): number;
  /** How long the thread's event loop has waited for something to happen since it started, ms. */
  idleMs(): number;
  /** How long the process has run on a core, ms, all its threads together. */
  cpuMs(): number;
  /** Calls back once; must not keep the process alive. */
  after(delayMs: number, call: () => void): void;
}

interface Turn {
  readonly entry: Entry;
  readonly lane: Lane;
  /** Bytes taken so far, lifted to the others' when the lane was empty: the least has the next turn. */
  taken: number;
}

interface Entry {
  readonly fence: Pumped;
  turns: readonly Turn[];
  /** Bytes that may be inspected now; below zero what a large piece took too much. */
  tokens: number;
}

/** The host of a real process. */
export const THREAD_HOST: PumpHost = {
  now: () => performance.now(),
  idleMs: () => performance.eventLoopUtilization().idle,
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
  after(delayMs, call) {
    setTimeout(call, delayMs).unref();
  },
};

/** Makes a pump; it does nothing until a fence is added. */
export function createPump(host: PumpHost = THREAD_HOST): Pump {
  return new SharedPump(host);
}

class SharedPump implements Pump {
  readonly #host: PumpHost;
  readonly #entries = new Set<Entry>();
  #allowanceMs = 0;
  #atMs = 0;
  #idleMs = 0;
  #cpuMs = 0;
  #lastTaken = 0;
  /** Which of the scheduled calls counts: an earlier one replaces a later one. */
  #scheduled = 0;
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(host: PumpHost) {
    this.#host = host;
  }

  add(fence: Pumped): () => void {
    const entry: Entry = { fence, turns: [], tokens: fence.bytesPerSecond };
    entry.turns = fence.lanes.map((lane) => ({ entry, lane, taken: this.#lastTaken }));
    if (this.#entries.size === 0) {
      this.#atMs = this.#host.now();
      this.#idleMs = this.#host.idleMs();
      this.#cpuMs = this.#host.cpuMs();
    }
    this.#entries.add(entry);
    this.#schedule(BUSY_INTERVAL_MS);
    return () => {
      this.#entries.delete(entry);
    };
  }

  wake(): void {
    if (this.#entries.size > 0) this.#schedule(BUSY_INTERVAL_MS);
  }

  #schedule(delayMs: number): void {
    const dueMs = this.#host.now() + delayMs;
    if (this.#dueMs <= dueMs) return;
    this.#dueMs = dueMs;
    const id = ++this.#scheduled;
    this.#host.after(delayMs, () => {
      if (id !== this.#scheduled) return;
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#run();
    });
  }

  #run(): void {
    if (this.#entries.size === 0) return;
    const startMs = this.#host.now();
    this.#earn(startMs);
    const endMs = startMs + Math.min(this.#allowanceMs, TURN_MS);
    let nowMs = startMs;
    let turns = this.#waiting();
    // Each that waits has a burst before any has another.
    while (turns.length > 0 && nowMs < endMs) {
      for (const turn of turns) if (nowMs < endMs && turn.entry.tokens > 0) nowMs = this.#burst(turn, endMs);
      // What came to others meanwhile is seen by the next run: there may be hundreds of lanes to ask.
      turns = turns.filter(isDue).sort(byTaken);
    }
    this.#allowanceMs -= nowMs - startMs;
    this.#schedule(turns.length > 0 ? BUSY_INTERVAL_MS : this.#restMs());
  }

  #restMs(): number {
    for (const { tokens } of this.#entries) if (tokens <= 0) return THROTTLED_INTERVAL_MS;
    return IDLE_INTERVAL_MS;
  }

  /** Time and bytes that may be spent since the last turn. */
  #earn(nowMs: number): void {
    const passedMs = nowMs - this.#atMs;
    const idleMs = this.#host.idleMs();
    const cpuMs = this.#host.cpuMs();
    // On a crowded machine time passes while the thread waits for a core: a share of that would be a large part of what it gets.
    const ranMs = Math.min(passedMs, cpuMs - this.#cpuMs);
    // While another thread of the process forwards, this one's idle time is none: they may have to share a core.
    const quietMs = Math.min(idleMs - this.#idleMs, passedMs - ranMs);
    const restedMs = Math.max(0, quietMs - passedMs * IDLE_FROM);
    const earnedMs = ranMs * BUSY_SHARE + restedMs * IDLE_SHARE;
    this.#cpuMs = cpuMs;
    this.#allowanceMs = Math.min(ALLOWANCE_MAX_MS, this.#allowanceMs + earnedMs);
    this.#atMs = nowMs;
    this.#idleMs = idleMs;
    for (const entry of this.#entries) {
      const { bytesPerSecond } = entry.fence;
      entry.tokens = Math.min(bytesPerSecond, entry.tokens + (passedMs / 1_000) * bytesPerSecond);
    }
  }

  /** The waiting lanes of fences that have bytes left, who had the least so far first. */
  #waiting(): Turn[] {
    const found: Turn[] = [];
    for (const { tokens, turns } of this.#entries) {
      if (tokens <= 0) continue;
      for (const turn of turns) {
        if (isDue(turn)) found.push(turn);
        // Silence earns nothing: a lane that wakes up starts level with the others.
        else turn.taken = Math.max(turn.taken, this.#lastTaken);
      }
    }
    found.sort(byTaken);
    this.#lastTaken = Math.max(this.#lastTaken, found[0]?.taken ?? 0);
    return found;
  }

  /** Inspects up to BURST_BYTES of one lane, until `endMs`; returns the time. */
  #burst(turn: Turn, endMs: number): number {
    const { entry } = turn;
    let left = BURST_BYTES;
    let nowMs = this.#host.now();
    while (left > 0 && nowMs < endMs) {
      const piece = turn.lane.take();
      if (piece === undefined) break;
      const bytes = PIECE_BYTES + (piece.type === 'stream_end' ? 0 : piece.bytes.length);
      left -= bytes;
      turn.taken += bytes;
      entry.tokens -= bytes;
      entry.fence.inspect(piece);
      nowMs = this.#host.now();
    }
    return nowMs;
  }
}

function isDue({ entry, lane }: Turn): boolean {
  return entry.tokens > 0 && lane.waiting();
}

function byTaken(a: Turn, b: Turn): number {
  return a.taken - b.taken;
}
