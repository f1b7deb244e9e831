/**
 * Connections that node accepts one at a time, gathered while they come in close succession and then taken together. node's event loop
 * accepts one a turn: taken as they come, connections go through the engine in single file, each of its steps between those of others. In
 * step with each other they take some 7 % less of the core, because what one has just used the next one uses again.
 */

/** Connections that are taken together at most: two gain less, and eight no more, while each waits for more others and more are alive at once. */
export const GATHERED_MAX = 4;

export class Gathering<Item> {
  readonly #take: (item: Item) => void;
  #items: Item[] = [];
  /** How many there were a turn ago. */
  #before = 0;
  #isScheduled = false;
  readonly #onTurnEnd = (): void => {
    this.#isScheduled = false;
    const count = this.#items.length;
    if (count === this.#before) this.flush();
    else {
      this.#before = count;
      this.#schedule();
    }
  };

  /** `take` gets each in the order of arrival. It must not throw. */
  constructor(take: (item: Item) => void) {
    this.#take = take;
  }

  /** Taken at the latest when a turn of the event loop has brought no other: one that comes alone waits for a turn that does not block. */
  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length === GATHERED_MAX) this.flush();
    else this.#schedule();
  }

  /** Those that wait are taken now. */
  flush(): void {
    const items = this.#items;
    this.#items = [];
    this.#before = 0;
    for (const item of items) this.#take(item);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#onTurnEnd);
  }
}
