/**
 * Fixed records of times by address and port, over a buffer that several threads may share: the store under the peer table.
 *
 * Layout: HEADER_BYTES (lock i32, evictions i32, last loss f64, keys given i32), then records of RECORD_BYTES:
 *   0 seq i32 (odd while the key changes) · 4 port+1 i32 (0 = empty) · 8 address[16] · 24 nine doubles: times in ms and a count (T)
 * and last which of them were ever used (used-slots.ts).
 *
 * A record is found in a bucket of WAYS slots. Every writer holds the lock, so no record changes hands between being found and
 * being stamped. Readers take no lock: a time is one store, and `seq` read before and after shows whether the key stayed.
 * Whoever asks for the same record again and again keeps a RecordPlace, which knows where it was found.
 */
import { ADDRESS_BYTES } from '../wire/address.ts';
import { releaseLock, takeLock } from './lock.ts';
import { type ReadTime, type RecordPlace, T, type TimeField } from './record-layout.ts';
import { PROVEN, type RecordLife, UNLABELLED, worthOf } from './record-worth.ts';
import { UsedSlots, usedSlotsBytes } from './used-slots.ts';

const HEADER_BYTES = 64;
const RECORD_BYTES = 96;
const WAYS = 8;
const LOCK_INT = 0;
const EVICTIONS = 1;
/** In doubles. */
const LOST_AT = 1;
/** Counts the keys that slots were given: while it stands still, what was not found is still not there. */
const KEYS_GIVEN = 4;
const RECORD_INTS = RECORD_BYTES / 4;
const RECORD_DOUBLES = RECORD_BYTES / 8;
const PORT_INT = 1;
const ADDRESS_AT = 8;

/** How often a reader starts again when a record changes under it; each change is another peer's arrival in the same slot. */
const READ_TRIES_MAX = 4;

/** Whose word is written: only one that proves itself displaces a proven one; that of an admitted member is missed when it finds no room. */
export type Writer = 'stranger' | 'member' | 'proven';

/** A copy of a record's key. */
export interface RecordKey {
  readonly address: Uint8Array;
  readonly port: number;
}

/** Slots for `peers`: an address has a record for its evidence and one for a port, and buckets fill unevenly, so twice that. */
export function slotsFor(peers: number): number {
  let slots = WAYS;
  while (slots < peers * 4) slots *= 2;
  return slots;
}

/** Bytes of a buffer of `slots`. */
export function recordsBytes(slots: number): number {
  return HEADER_BYTES + slots * RECORD_BYTES + usedSlotsBytes(slots);
}

/** Records over a buffer (recordsBytes, zeroed by its maker). One thread's view of it: one writer at a time holds `open`. */
export class Records {
  readonly #slots: number;
  readonly #life: RecordLife;
  readonly #header: Int32Array;
  readonly #headerDoubles: Float64Array;
  readonly #ints: Int32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #used: UsedSlots;
  /** The record that `#time` is about: one closure, so that a frame allocates none. */
  #inHand = 0;
  readonly #time: ReadTime = (field) => this.time(this.#inHand, field);
  /** Of the lock, while it is held. */
  #token = 0;

  constructor(buffer: ArrayBufferLike, slots: number, life: RecordLife) {
    this.#slots = slots;
    this.#life = life;
    this.#header = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.#headerDoubles = new Float64Array(buffer, 0, HEADER_BYTES / 8);
    this.#ints = new Int32Array(buffer, HEADER_BYTES, slots * RECORD_INTS);
    this.#doubles = new Float64Array(buffer, HEADER_BYTES, slots * RECORD_DOUBLES);
    this.#bytes = new Uint8Array(buffer, HEADER_BYTES, slots * RECORD_BYTES);
    this.#used = new UsedSlots(buffer, HEADER_BYTES + slots * RECORD_BYTES, slots);
  }

  /** The slot of the record; -1 when there is none, or when it is just changing hands. What is read there holds if `holds` says so afterwards. */
  find(place: RecordPlace): number {
    const { slot, stamp } = place;
    // Plain loads, because every frame comes by: a change that they miss came just now, and `holds` sees it.
    if (slot >= 0) return this.#ints[slot * RECORD_INTS] === stamp ? slot : this.#locate(place);
    return slot === -1 && this.#header[KEYS_GIVEN] === stamp ? -1 : this.#locate(place);
  }

  /** Whether the record found last is still this one's: what was read of it since is its own. */
  holds({ slot, stamp }: RecordPlace): boolean {
    return this.#unchanged(slot, stamp);
  }

  /** A time of the record in `slot`, ms. */
  time(slot: number, field: TimeField): number {
    return this.#doubles[slot * RECORD_DOUBLES + field] as number;
  }

  /** Changes a time of the record in `slot`, which is open. */
  stamp(slot: number, field: TimeField, ms: number): void {
    this.#doubles[slot * RECORD_DOUBLES + field] = ms;
  }

  /** Opens the record to change it, made when missing; to be closed before anything else is opened. -1 without room, counted: nothing is open. */
  open(place: RecordPlace, nowMs: number, by: Writer): number {
    this.#token = takeLock(this.#header, LOCK_INT, nowMs);
    if (this.#token === 0) {
      this.#lost(by !== 'stranger', nowMs);
      return -1;
    }
    const slot = this.#claim(place, nowMs, by);
    if (slot < 0) this.close();
    return slot;
  }

  close(): void {
    releaseLock(this.#header, LOCK_INT, this.#token);
  }

  /** What `view` makes of every record that is not expired. */
  all<V>(nowMs: number, view: (key: RecordKey, time: ReadTime) => V): V[] {
    const out: V[] = [];
    this.#used.each((slot) => {
      const before = this.#seq(slot);
      if (this.#worth(slot, nowMs) <= 0) return;
      const at = slot * RECORD_BYTES + ADDRESS_AT;
      const port = Atomics.load(this.#ints, slot * RECORD_INTS + PORT_INT) - 1;
      const seen = view({ address: this.#bytes.slice(at, at + ADDRESS_BYTES), port }, this.#time);
      if (this.#unchanged(slot, before)) out.push(seen);
    });
    return out;
  }

  /** Records dropped before they expired, and ones that found no room. */
  evictions(): number {
    return Atomics.load(this.#header, EVICTIONS) >>> 0;
  }

  /** When that last befell more than what strangers left; 0: never. */
  lastLossMs(): number {
    return this.#headerDoubles[LOST_AT] as number;
  }

  /** Counts something that is dropped or finds no room; `matters`: it is more than what a stranger left. */
  #lost(matters: boolean, nowMs: number): void {
    Atomics.add(this.#header, EVICTIONS, 1);
    if (matters) this.#headerDoubles[LOST_AT] = nowMs;
  }

  #seq(slot: number): number {
    return Atomics.load(this.#ints, slot * RECORD_INTS);
  }

  /** Whether the slot kept its key since `before` was read. */
  #unchanged(slot: number, before: number): boolean {
    // A read-modify-write: a plain load could be served before the loads of key and times on weakly ordered CPUs.
    return before % 2 === 0 && Atomics.add(this.#ints, slot * RECORD_INTS, 0) === before;
  }

  #hasKey(slot: number, address: Uint8Array, port: number): boolean {
    if (Atomics.load(this.#ints, slot * RECORD_INTS + PORT_INT) !== port + 1) return false;
    const at = slot * RECORD_BYTES + ADDRESS_AT;
    for (let i = 0; i < ADDRESS_BYTES; i++) if (this.#bytes[at + i] !== address[i]) return false;
    return true;
  }

  /** Looks for the record and notes where it is, or that there is none. */
  #locate(place: RecordPlace): number {
    const { address, port } = place;
    for (let tries = 0; tries < READ_TRIES_MAX; tries++) {
      const given = Atomics.load(this.#header, KEYS_GIVEN);
      const slot = this.#slotOf(address, port);
      if (slot < 0) {
        place.slot = -1;
        place.stamp = given;
        return -1;
      }
      const seq = this.#seq(slot);
      if (!this.#hasKey(slot, address, port) || !this.#unchanged(slot, seq)) continue;
      place.slot = slot;
      place.stamp = seq;
      return slot;
    }
    place.slot = -2;
    return -1;
  }

  #slotOf(address: Uint8Array, port: number): number {
    const first = bucketOf(address, port, this.#slots);
    for (let slot = first; slot < first + WAYS; slot++) if (this.#hasKey(slot, address, port)) return slot;
    return -1;
  }

  /** -1: the slot is free. */
  #worth(slot: number, nowMs: number): number {
    if (Atomics.load(this.#ints, slot * RECORD_INTS + PORT_INT) === 0) return -1;
    this.#inHand = slot;
    return worthOf(this.#time, nowMs, this.#life);
  }

  /** The slot of the key, made when missing; -1 without room. With the lock held. */
  #claim(place: RecordPlace, nowMs: number, by: Writer): number {
    const { address, port } = place;
    if (place.slot >= 0 && this.#seq(place.slot) === place.stamp) return place.slot;
    const found = this.#slotOf(address, port);
    if (found >= 0) {
      // Odd with the lock in our hands: a thread was ended while it wrote this key.
      if (this.#seq(found) % 2 !== 0) this.#rekey(found, address, port);
      return found;
    }
    let victim = bucketOf(address, port, this.#slots);
    let least = this.#worth(victim, nowMs);
    for (let slot = victim + 1, end = victim + WAYS; slot < end; slot++) {
      const value = this.#worth(slot, nowMs);
      if (value < least) [victim, least] = [slot, value];
    }
    const refused = least >= PROVEN && by !== 'proven';
    if (least > 0) this.#lost(refused ? by !== 'stranger' : least >= UNLABELLED, nowMs);
    if (refused) return -1;
    this.#rekey(victim, address, port);
    return victim;
  }

  /** Gives a slot a new key. With the lock held. Atomic stores, so that zeroed times are visible before any byte of the key. */
  #rekey(slot: number, address: Uint8Array, port: number): void {
    const at = slot * RECORD_INTS;
    this.#used.add(slot);
    const odd = this.#seq(slot) | 1;
    Atomics.store(this.#ints, at, odd);
    this.#doubles.fill(0, slot * RECORD_DOUBLES + T.own, (slot + 1) * RECORD_DOUBLES);
    const key = slot * RECORD_BYTES + ADDRESS_AT;
    for (let i = 0; i < ADDRESS_BYTES; i++) Atomics.store(this.#bytes, key + i, address[i] ?? 0);
    Atomics.store(this.#ints, at + PORT_INT, port + 1);
    Atomics.store(this.#ints, at, odd + 1);
    // Last: who counted before this, and found nothing, looks again.
    Atomics.add(this.#header, KEYS_GIVEN, 1);
  }
}

/** FNV-1a over the key; the first slot of its bucket. */
function bucketOf(address: Uint8Array, port: number, slots: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < ADDRESS_BYTES; i++) hash = Math.imul(hash ^ (address[i] as number), 0x01000193);
  hash = Math.imul(hash ^ (port & 0xff), 0x01000193);
  hash = Math.imul(hash ^ (port >> 8), 0x01000193);
  hash ^= hash >>> 15;
  return (hash & (slots / WAYS - 1)) * WAYS;
}
