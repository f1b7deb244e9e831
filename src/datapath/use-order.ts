/** Things in the order of their use, to find which was used the longest time ago. Allocates nothing. */

/** What an order links; kept by the order. */
export interface Used<T> {
  older: T | undefined;
  newer: T | undefined;
}

export class UseOrder<T extends Used<T>> {
  size = 0;
  #oldest: T | undefined;
  #newest: T | undefined;

  /** Adds what it does not have, as used last. */
  add(entry: T): void {
    this.#append(entry);
    this.size++;
  }

  /** Removes what it has. */
  remove(entry: T): void {
    this.#unlink(entry);
    this.size--;
  }

  /** What it has was used just now. */
  touch(entry: T): void {
    if (this.#newest === entry) return;
    this.#unlink(entry);
    this.#append(entry);
  }

  oldest(): T | undefined {
    return this.#oldest;
  }

  #append(entry: T): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  #unlink(entry: T): void {
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}
