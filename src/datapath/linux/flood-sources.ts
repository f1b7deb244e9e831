/**
 * Who sends so many unlabelled packets that are rejected that the kernel should drop them. Bounded, and forgetful: whoever stops is off
 * the list soon. Pure: the clock is an argument.
 */

/** Addresses that are counted at once; beyond it new ones wait for the next window. */
const COUNTED_MAX = 4_096;
/** Addresses on the list; what the filter has no room for is beyond it anyway. */
const LISTED_MAX = 512;
/** Rejections within a window that put an address on the list. */
export const LISTED_REJECTIONS = 50;
export const WINDOW_MS = 1_000;
/** How long nothing must be rejected of an address until it is off the list, ms. Under a filter only a sample of its packets is seen. */
export const FORGIVEN_MS = 10_000;

export class FloodSources {
  readonly #counts = new Map<string, number>();
  /** When something of a listed address was last rejected. */
  readonly #listed = new Map<string, number>();
  #windowFromMs = Number.NEGATIVE_INFINITY;
  #changed = false;

  /** Counts a rejection of an unlabelled packet from `address`, as formatAddress writes it. */
  note(address: string, nowMs: number): void {
    if (this.#listed.has(address)) {
      this.#listed.set(address, nowMs);
      return;
    }
    if (nowMs - this.#windowFromMs >= WINDOW_MS) {
      this.#counts.clear();
      this.#windowFromMs = nowMs;
    }
    const count = this.#counts.get(address) ?? 0;
    if (count === 0 && this.#counts.size >= COUNTED_MAX) return;
    this.#counts.set(address, count + 1);
    if (count + 1 < LISTED_REJECTIONS || this.#listed.size >= LISTED_MAX) return;
    this.#listed.set(address, nowMs);
    this.#changed = true;
  }

  /** Forgets who stopped; true when the list is another than at the last call. */
  refresh(nowMs: number): boolean {
    for (const [address, atMs] of this.#listed) {
      if (nowMs - atMs < FORGIVEN_MS) continue;
      this.#listed.delete(address);
      this.#changed = true;
    }
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  list(): readonly string[] {
    return [...this.#listed.keys()];
  }
}
