/**
 * The merge alarm: an alive (name, address, port) newly in our own gossip equals one that was seen bound to a foreign label, unless
 * that tuple had own evidence first. Own evidence: our own gossip named it before it was seen foreign, or its address is proven own and
 * showed the own label since then: an address that was ours when it was recycled proves nothing.
 *
 * After a start the order is unknown, because a foreign cluster that we merged with names our members under its label. So whatever our
 * own gossip lists during the warm-up counts as own first: no own member is accused, or stripped by quarantine, because a fence was
 * restarted. What this misses: foreigners that joined before the fence started, or that join during its warm-up; they stay unaccused
 * until nobody has named them for OWN_TUPLE_MS. Identity rules still tell them (warnings.ts).
 */
import { BoundedTable } from './bounded.ts';
import type { Bringer, ForeignSighting, ForeignTable } from './foreign.ts';
import type { Tuple } from './quarantine.ts';
import { NAME_MAX_CHARS, tupleKey } from './tuple.ts';

/** How long own evidence lasts after our own gossip last named the tuple alive, ms. */
export const OWN_TUPLE_MS = 60 * 60_000;

/** memberlist config.go PushPullInterval is 30 s: two of them, so that our app's whole table was seen. */
export const WARM_UP_MS = 60_000;

/** Large rings exchange their tables more rarely (util.go `pushPullScale`): without one the warm-up goes on, at most so many times as long. */
const WARM_UP_STRETCH = 5;

/** How long after the first table of our own gossip the warm-up still lasts, at least, ms: its rows follow its header. */
const FIRST_TABLE_MS = 10_000;

/** A proven merge. */
export interface MergeAlarm extends Tuple {
  readonly atMs: number;
  /** Who brought the tuple into our own gossip. */
  readonly broughtBy: Bringer;
  /** The sighting under a foreign label that proves it. */
  readonly foreign: ForeignSighting;
  /** When our own gossip last named the tuple alive. */
  readonly lastOwnMs: number;
}

export interface MergeOptions {
  readonly startedMs: number;
  readonly warmUpMs: number;
  readonly ownTuples: number;
  readonly alarms: number;
  /** Whether the address is proven own, by what it showed after `sinceMs`. */
  provenSince(address: string, sinceMs: number, nowMs: number): boolean;
  vouched(address: string, nowMs: number): boolean;
}

interface OwnTuple extends Tuple {
  /** False: foreign first. */
  own: boolean;
  lastMs: number;
}

type Alarm = { -readonly [K in keyof MergeAlarm]: MergeAlarm[K] };

export class MergeWatch {
  readonly #options: MergeOptions;
  readonly #foreign: ForeignTable;
  readonly #own: BoundedTable<OwnTuple>;
  readonly #alarms: BoundedTable<Alarm>;
  #firstTableMs: number | undefined;
  #raised = 0;
  #changes = 0;

  constructor(options: MergeOptions, foreign: ForeignTable) {
    this.#options = options;
    this.#foreign = foreign;
    this.#own = new BoundedTable(options.ownTuples);
    this.#alarms = new BoundedTable(options.alarms);
  }

  get ownEvictions(): number {
    return this.#own.evictions;
  }

  /** Alarms ever raised. */
  get raised(): number {
    return this.#raised;
  }

  /** Grows whenever a tuple may have changed sides. */
  get changes(): number {
    return this.#changes;
  }

  /** A push/pull of our own gossip begins: it lists the whole ring. */
  ownTable(atMs: number): void {
    this.#firstTableMs ??= atMs;
  }

  warmingUp(nowMs: number): boolean {
    const { startedMs, warmUpMs } = this.#options;
    if (nowMs < startedMs + warmUpMs) return true;
    if (nowMs >= startedMs + warmUpMs * WARM_UP_STRETCH) return false;
    return (
      this.#firstTableMs === undefined ||
      nowMs < Math.min(this.#firstTableMs + FIRST_TABLE_MS, startedMs + warmUpMs * WARM_UP_STRETCH)
    );
  }

  /** Our own gossip names `tuple` alive; the alarm that this raises, if any. */
  ownAlive(tuple: Tuple, broughtBy: Bringer): MergeAlarm | undefined {
    if (tuple.name.length > NAME_MAX_CHARS) return undefined;
    const { atMs } = broughtBy;
    const key = tupleKey(tuple);
    this.#foreign.touch(key, atMs);
    const known = this.#own.get(key);
    const kept = this.#options.vouched(tuple.address, atMs);
    if (known !== undefined) {
      known.lastMs = atMs;
      this.#own.put(key, known, kept);
      const alarm = this.#alarms.get(key);
      if (alarm !== undefined) alarm.lastOwnMs = atMs;
      return undefined;
    }
    const foreign = this.#foreign.get(key);
    const own = foreign === undefined || this.warmingUp(atMs) || this.#provenOwn(foreign, atMs);
    this.#own.put(key, { ...tuple, own, lastMs: atMs }, kept || !own);
    if (own) {
      if (foreign !== undefined) this.#changes++;
      return undefined;
    }
    return this.#raise(key, tuple, foreign, broughtBy);
  }

  /** A peer's foreign-labelled frame names `tuple` alive. */
  foreignAlive(tuple: Tuple, label: Uint8Array, broughtBy: Bringer): void {
    if (this.#foreign.note(tuple, label, broughtBy)) this.#changes++;
  }

  /** Whether a tuple (`key`: tupleKey) that was seen foreign is a stranger's: foreign first, and its address not proven own. */
  isForeigner(key: string, sighting: ForeignSighting, nowMs: number): boolean {
    const own = this.#own.get(key);
    return own?.own !== true && !this.#provenOwn(sighting, nowMs);
  }

  /** Tuples that count as our own. */
  *ownTuples(): Generator<Tuple> {
    for (const tuple of this.#own.values()) if (tuple.own) yield tuple;
  }

  /** Standing alarms, the newest first. One ends when nothing names its tuple any more, on either side. */
  alarms(): MergeAlarm[] {
    return [...this.#alarms.values()].sort((a, b) => b.atMs - a.atMs);
  }

  prune(nowMs: number): void {
    this.#own.prune(({ lastMs }) => nowMs - lastMs > OWN_TUPLE_MS);
    const before = this.#foreign.size;
    this.#foreign.prune(nowMs);
    if (this.#foreign.size !== before) this.#changes++;
    this.#alarms.prune((alarm) => {
      const key = tupleKey(alarm);
      return !this.#own.has(key) && !this.#foreign.has(key);
    });
  }

  #provenOwn({ address, firstMs }: ForeignSighting, nowMs: number): boolean {
    return this.#options.provenSince(address, firstMs, nowMs);
  }

  #raise(key: string, tuple: Tuple, foreign: ForeignSighting, broughtBy: Bringer): MergeAlarm | undefined {
    // The own side of it may have been forgotten while the foreign side was not: the alarm still stands.
    const standing = this.#alarms.get(key);
    if (standing !== undefined) {
      standing.lastOwnMs = broughtBy.atMs;
      return undefined;
    }
    const { name, address, port, label, firstMs, lastMs } = foreign;
    const sighting = { name, address, port, label, firstMs, lastMs, broughtBy: foreign.broughtBy };
    const alarm = { ...tuple, atMs: broughtBy.atMs, broughtBy, foreign: sighting, lastOwnMs: broughtBy.atMs };
    this.#alarms.put(key, alarm, true);
    this.#raised++;
    this.#changes++;
    return alarm;
  }
}
