/**
 * Datagrams that node hands over one at a time, collected until the event loop has read what was there and then taken together: to
 * receive many and to send many is faster than to do both by turns, and what is the same for all of them is done once.
 */

/** Datagrams that are collected at most; then they are taken at once. They hold up to 64 KiB each. */
export const TURN_PACKETS_MAX = 64;

/** `From`: what is kept of where a datagram came from. */
export class TurnBatch<From> {
  readonly #now: () => number;
  readonly #take: (packet: Uint8Array, from: From, atMs: number) => void;
  readonly #packets: (Uint8Array | undefined)[] = new Array(TURN_PACKETS_MAX).fill(undefined);
  readonly #from: (From | undefined)[] = new Array(TURN_PACKETS_MAX).fill(undefined);
  #count = 0;
  #atMs = 0;
  #isScheduled = false;
  readonly #onTurnEnd = (): void => {
    this.#isScheduled = false;
    this.#flush();
  };

  /** `take` gets each datagram in the order of arrival; `atMs`: when the first of those taken together came, by `now`. It must not throw. */
  constructor(now: () => number, take: (packet: Uint8Array, from: From, atMs: number) => void) {
    this.#now = now;
    this.#take = take;
  }

  /** Both are the batch's until they are taken, at the latest when the event loop has read what is there. */
  add(packet: Uint8Array, from: From): void {
    if (this.#count === 0) this.#atMs = this.#now();
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(this.#onTurnEnd);
    }
    this.#packets[this.#count] = packet;
    this.#from[this.#count] = from;
    if (++this.#count === TURN_PACKETS_MAX) this.#flush();
  }

  #flush(): void {
    const count = this.#count;
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      const packet = this.#packets[i] as Uint8Array;
      const from = this.#from[i] as From;
      this.#packets[i] = undefined;
      this.#from[i] = undefined;
      this.#take(packet, from, this.#atMs);
    }
  }
}
