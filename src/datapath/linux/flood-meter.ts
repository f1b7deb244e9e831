/**
 * Whether a flood of foreign packets is on: a state machine over counts, with hysteresis. It begins at a rate and ends once the rate
 * has stayed below half of it for a while, longer each time a flood comes back soon. Pure: the clock is an argument.
 */

/** Shorter looks than this say nothing about a rate, ms: they are left out. */
const LOOK_MIN_MS = 50;
/** How long the rate must stay low at first, and at most, ms. */
export const QUIET_MS = 5_000;
export const QUIET_MAX_MS = 60_000;
/** A flood that begins within this after the last one ended is the same attacker's, ms. */
const SOON_MS = 60_000;

/** Counts since some start; they only grow. */
export interface FloodCounts {
  /** Packets that the fence rejected and a filter could have dropped. */
  readonly rejected: number;
  /** Packets that the kernel dropped at the sockets while the filter was there. */
  readonly dropped: number;
}

export class FloodMeter {
  readonly #onPerSecond: number;
  #active = false;
  #perSecond = 0;
  #lookedAtMs: number;
  #total: number;
  #quietMs = QUIET_MS;
  /** When the rate was last high. */
  #highAtMs = 0;
  #endedAtMs = Number.NEGATIVE_INFINITY;

  /** `onPerSecond`: packets; 0: nothing is ever a flood. */
  constructor(onPerSecond: number, nowMs: number, counts: FloodCounts) {
    this.#onPerSecond = onPerSecond;
    this.#lookedAtMs = nowMs;
    this.#total = counts.rejected + counts.dropped;
  }

  get active(): boolean {
    return this.#active;
  }

  /** Foreign packets a second, as of the last look. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Takes the counts of now; true when the flood has begun or ended by them. */
  look(nowMs: number, { rejected, dropped }: FloodCounts): boolean {
    const elapsedMs = nowMs - this.#lookedAtMs;
    if (elapsedMs < LOOK_MIN_MS || this.#onPerSecond <= 0) return false;
    const total = rejected + dropped;
    this.#perSecond = ((total - this.#total) / elapsedMs) * 1_000;
    this.#total = total;
    this.#lookedAtMs = nowMs;
    if (!this.#active) return this.#perSecond >= this.#onPerSecond && this.#begin(nowMs);
    if (this.#perSecond >= this.#onPerSecond / 2) this.#highAtMs = nowMs;
    if (nowMs - this.#highAtMs < this.#quietMs) return false;
    this.#active = false;
    this.#endedAtMs = nowMs;
    return true;
  }

  /** Nothing came until `nowMs`: the next look's rate is one of the time from then on. */
  rested(nowMs: number): void {
    this.#lookedAtMs = nowMs;
  }

  /** Ends it at once: the rules do not allow to drop anything. False when none was on. */
  end(): boolean {
    const was = this.#active;
    this.#active = false;
    return was;
  }

  #begin(nowMs: number): boolean {
    const soon = nowMs - this.#endedAtMs < SOON_MS;
    this.#quietMs = soon ? Math.min(QUIET_MAX_MS, this.#quietMs * 2) : QUIET_MS;
    this.#active = true;
    this.#highAtMs = nowMs;
    return true;
  }
}
