import { AgeList } from './age-list.ts';

/**
 * A table of bounded size that forgets what was touched longest ago, in two tiers: what is `kept` only ever makes room for other
 * kept entries, so that a flood of entries nobody vouches for displaces none of them. Every operation takes constant time.
 */
export class BoundedTable<V> {
  readonly #limit: number;
  readonly #loose = new AgeList<V>();
  readonly #kept = new AgeList<V>();
  #evictions = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#loose.size + this.#kept.size;
  }

  /** Entries that made room before their time, and ones that found none. */
  get evictions(): number {
    return this.#evictions;
  }

  get(key: string): V | undefined {
    return this.#kept.get(key) ?? this.#loose.get(key);
  }

  has(key: string): boolean {
    return this.#kept.has(key) || this.#loose.has(key);
  }

  /** Stores `value` as the newest of its tier; once kept, always kept. False when there was no room, which is counted. */
  put(key: string, value: V, kept: boolean): boolean {
    const tier = kept || this.#kept.has(key) ? this.#kept : this.#loose;
    const known = tier.has(key) || this.#loose.delete(key);
    if (!known && !this.#makeRoom(kept)) return false;
    tier.set(key, value);
    return true;
  }

  delete(key: string): boolean {
    return this.#kept.delete(key) || this.#loose.delete(key);
  }

  /** Forgets every entry that `isOver`, uncounted. */
  prune(isOver: (value: V) => boolean): void {
    for (const tier of [this.#loose, this.#kept]) {
      for (const [key, value] of tier.entries()) if (isOver(value)) tier.delete(key);
    }
  }

  *values(): Generator<V> {
    for (const [, value] of this.#kept.entries()) yield value;
    for (const [, value] of this.#loose.entries()) yield value;
  }

  #makeRoom(kept: boolean): boolean {
    if (this.size < this.#limit) return true;
    this.#evictions++;
    if (this.#loose.size === 0 && !kept) return false;
    const tier = this.#loose.size > 0 ? this.#loose : this.#kept;
    tier.delete(tier.oldestKey() ?? '');
    return true;
  }
}
