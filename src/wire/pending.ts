/** Bytes that wait for the rest of a value: appended at one end, taken from the other, moved seldom. */
export class Pending {
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** All of them; a view that the next `append` makes stale. */
  view(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Copies. */
  append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#bytes.length) {
      const held = this.view();
      const needed = held.length + chunk.length;
      // Twice what is needed, so that many small chunks are moved a bounded number of times.
      if (needed * 2 > this.#bytes.length) this.#bytes = new Uint8Array(needed * 2);
      this.#bytes.set(held);
      [this.#start, this.#end] = [0, held.length];
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  take(count: number): void {
    this.#start += count;
    if (this.#start < this.#end) return;
    [this.#start, this.#end] = [0, 0];
  }
}
