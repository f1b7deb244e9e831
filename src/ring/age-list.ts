/**
 * A map in the order in which its entries were touched, oldest first; every operation takes constant time.
 *
 * Not a Map whose entries are deleted and set anew: that lays the table out again and again, an iterator that waits at its old end keeps
 * every table since alive, and a new one walks over everything that was deleted at the front.
 */

interface Node<V> {
  readonly key: string;
  value: V;
  older: Node<V> | undefined;
  newer: Node<V> | undefined;
}

export class AgeList<V> {
  readonly #nodes = new Map<string, Node<V>>();
  #oldest: Node<V> | undefined;
  #newest: Node<V> | undefined;

  get size(): number {
    return this.#nodes.size;
  }

  get(key: string): V | undefined {
    return this.#nodes.get(key)?.value;
  }

  has(key: string): boolean {
    return this.#nodes.has(key);
  }

  /** The value touched longest ago; undefined when there is none. */
  oldest(): V | undefined {
    return this.#oldest?.value;
  }

  /** The key touched longest ago. */
  oldestKey(): string | undefined {
    return this.#oldest?.key;
  }

  /** Stores `value` as the newest. */
  set(key: string, value: V): void {
    const known = this.#nodes.get(key);
    if (known === undefined) {
      const node = { key, value, older: undefined, newer: undefined };
      this.#nodes.set(key, node);
      this.#append(node);
      return;
    }
    known.value = value;
    if (known === this.#newest) return;
    this.#unlink(known);
    this.#append(known);
  }

  delete(key: string): boolean {
    const node = this.#nodes.get(key);
    if (node === undefined) return false;
    this.#nodes.delete(key);
    this.#unlink(node);
    return true;
  }

  /** Oldest first. The entry in hand may be deleted meanwhile. */
  *entries(): Generator<[key: string, value: V]> {
    let node = this.#oldest;
    while (node !== undefined) {
      const { newer } = node;
      yield [node.key, node.value];
      node = newer;
    }
  }

  #append(node: Node<V>): void {
    node.older = this.#newest;
    node.newer = undefined;
    if (this.#newest === undefined) this.#oldest = node;
    else this.#newest.newer = node;
    this.#newest = node;
  }

  #unlink({ older, newer }: Node<V>): void {
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}
