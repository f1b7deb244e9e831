/** Which slots of a table were ever used, a bit each over a buffer that several threads may share: a walk touches what is there, not the room for it. */

const WORD_BITS = 32;

/** Bytes for the bits of `slots`, which are a multiple of 8. */
export function usedSlotsBytes(slots: number): number {
  return Math.ceil(slots / WORD_BITS) * 4;
}

/** One thread's view of them. A bit is set before its slot is filled, and never taken back. */
export class UsedSlots {
  readonly #words: Int32Array;

  /** `offset`: a multiple of 4, from where `usedSlotsBytes(slots)`, zeroed by the buffer's maker, are its own. */
  constructor(buffer: ArrayBufferLike, offset: number, slots: number) {
    this.#words = new Int32Array(buffer, offset, usedSlotsBytes(slots) / 4);
  }

  add(slot: number): void {
    Atomics.or(this.#words, Math.floor(slot / WORD_BITS), 1 << (slot % WORD_BITS));
  }

  /** A plain load of each word: a bit that another thread is just setting may be missed as well as seen. */
  each(visit: (slot: number) => void): void {
    for (let word = 0; word < this.#words.length; word++) {
      for (let bits = this.#words[word] as number; bits !== 0; bits &= bits - 1) {
        visit(word * WORD_BITS + WORD_BITS - 1 - Math.clz32(bits & -bits));
      }
    }
  }
}
