/**
 * The keys of a map, oldest first, each to be deleted by whoever takes it before the next is taken. It keeps its place: a new iterator
 * would walk over everything that was deleted at the front since the map was last laid out anew.
 */
export class OldestKeys {
  readonly #map: ReadonlyMap<string, unknown>;
  #keys: Iterator<string>;

  constructor(map: ReadonlyMap<string, unknown>) {
    this.#map = map;
    this.#keys = map.keys();
  }

  /** Undefined when the map is empty. */
  take(): string | undefined {
    const next = this.#keys.next();
    if (next.done !== true) return next.value;
    this.#keys = this.#map.keys();
    const first = this.#keys.next();
    return first.done === true ? undefined : first.value;
  }
}

/**
 * A table of bounded size that forgets what was touched longest ago, in two tiers: what is `kept` only ever makes room for other
 * kept entries, so that a flood of entries nobody vouches for displaces none of them. Every operation takes constant time.
 */
export class BoundedTable<V> {
  readonly #limit: number;
  readonly #loose = new Map<string, V>();
  readonly #kept = new Map<string, V>();
  readonly #oldestLoose = new OldestKeys(this.#loose);
  readonly #oldestKept = new OldestKeys(this.#kept);
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
    if (this.#loose.size === 0 && !kept) return false;
    const oldest = this.#loose.size > 0 ? this.#oldestLoose.take() : this.#oldestKept.take();
    if (oldest !== undefined) this.delete(oldest);
    return true;
  }
}
