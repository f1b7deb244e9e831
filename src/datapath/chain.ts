/**
 * Things in the order of their coming, linked by themselves and unlinked whole: the tables that a Set or a Map leaves behind as it changes
 * keep what was in them alive until the whole heap is collected, and that may be all of an exchange.
 */

/** What can be in one chain at a time. */
export interface Linked<T> {
  /** Whether it is in its chain; this and the next two are the chain's. */
  linked: boolean;
  before: T | undefined;
  after: T | undefined;
}

export class Chain<T extends Linked<T>> {
  first: T | undefined;
  last: T | undefined;

  /** Puts `one`, which is in no chain, last. */
  append(one: T): void {
    one.before = this.last;
    if (this.last === undefined) this.first = one;
    else this.last.after = one;
    this.last = one;
    one.linked = true;
  }

  /** `one` is in this chain. */
  remove(one: T): void {
    const { before, after } = one;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.last = before;
    else after.before = before;
    one.before = undefined;
    one.after = undefined;
    one.linked = false;
  }
}
