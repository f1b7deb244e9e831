/**
 * A table of bounded size that forgets what was touched longest ago, in two tiers: what is `kept` only ever makes room for other
 * kept entries, so that a flood of entries nobody vouches for displaces none of them. Every operation takes constant time.
 */
export class BoundedTable<V> {
  readonly #limit: number;
  readonly #loose = new Map<string, V>();
  readonly #kept = new Map<string, V>();
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
    const known = this.#kept.delete(key);
    const tier = known || kept ? this.#kept : this.#loose;
    if (!this.#loose.delete(key) && !known && !this.#makeRoom(kept)) return false;
    tier.set(key, value);
    return true;
  }

  delete(key: string): boolean {
    return this.#kept.delete(key) || this.#loose.delete(key);
  }

  /** Forgets every entry that `isOver`, uncounted. */
  prune(isOver: (value: V) => boolean): void {
    for (const tier of [this.#loose, this.#kept]) {
      for (const [key, value] of tier) if (isOver(value)) tier.delete(key);
    }
  }

  *values(): Generator<V> {
    yield* this.#kept.values();
    yield* this.#loose.values();
  }

  #makeRoom(kept: boolean): boolean {
    if (this.size < this.#limit) return true;
    this.#evictions++;
    const tier = this.#loose.size > 0 ? this.#loose : this.#kept;
    if (tier === this.#kept && !kept) return false;
    const oldest = tier.keys().next();
    if (oldest.done !== true) tier.delete(oldest.value);
    return true;
  }
}
