/**
 * One peer's records in the table of peers, found once and kept between frames: what every frame asks for and teaches. Allocates nothing
 * once it is made, and takes the lock only to write.
 */
import type { Evidence, PeerTableOptions } from './peers.ts';
import { ANSWER_WINDOW_MS, RecordPlace, T } from './record-layout.ts';
import type { Records } from './records.ts';

/** How often a reader starts again when the record changes hands under it. */
const MEMORY_TRIES_MAX = 4;

/** What is remembered of an address, as bits. */
export const MEMORY = { proven: 1, foreign: 2, ambiguous: 4 } as const;

/**
 * How old a stamp may be that is not written anew: a peer that goes on speaking, or being sent to, costs no write for each frame. What
 * counts from such a stamp ends up to this much sooner, of windowMs at most a hundredth.
 */
export const STAMP_FRESH_MS = 100;

/** An address and port, found in the table once and kept between frames. Not for two threads. What it says is what the table says. */
export interface KnownPeer {
  /** What is remembered of the address: MEMORY. Allocates nothing. */
  memory(nowMs: number): number;
  /** As the table's methods of these names, without looking for the address again. */
  learn(evidence: Evidence, nowMs: number): void;
  sent(nowMs: number): void;
  unlabelled(nowMs: number): void;
  answers(nowMs: number): boolean;
}

/** `address`: 16 bytes that do not change any more. */
export function knownPeer(records: Records, options: PeerTableOptions, address: Uint8Array, port: number): KnownPeer {
  return new Known(records, options, address, port);
}

/** What the times of a record say: MEMORY. */
export function memoryBits(
  own: number,
  foreign: number,
  ambiguousAt: number,
  nowMs: number,
  windowMs: number,
  foreignMs: number,
): number {
  const ownLately = own > 0 && nowMs - own <= windowMs;
  if (ambiguousAt > 0 && nowMs - ambiguousAt <= windowMs) return MEMORY.ambiguous | (ownLately ? MEMORY.proven : 0);
  if (ownLately && own >= foreign) return MEMORY.proven;
  return foreign > own && nowMs - foreign <= foreignMs ? MEMORY.foreign : 0;
}

class Known implements KnownPeer {
  readonly #records: Records;
  readonly #windowMs: number;
  readonly #foreignMs: number;
  readonly #freshMs: number;
  readonly #evidence: RecordPlace;
  readonly #port: RecordPlace;

  constructor(records: Records, { windowMs, foreignMs }: PeerTableOptions, address: Uint8Array, port: number) {
    this.#records = records;
    this.#windowMs = windowMs;
    this.#foreignMs = foreignMs;
    this.#freshMs = Math.min(STAMP_FRESH_MS, windowMs / 100);
    this.#evidence = new RecordPlace(address, 0);
    this.#port = port === 0 ? this.#evidence : new RecordPlace(address, port);
  }

  memory(nowMs: number): number {
    const records = this.#records;
    const place = this.#evidence;
    for (let tries = 0; tries < MEMORY_TRIES_MAX; tries++) {
      const slot = records.find(place);
      if (slot < 0) return 0;
      const own = records.time(slot, T.own);
      const foreign = records.time(slot, T.foreign);
      const ambiguous = records.time(slot, T.ambiguous);
      if (records.holds(place)) return memoryBits(own, foreign, ambiguous, nowMs, this.#windowMs, this.#foreignMs);
    }
    return 0;
  }

  learn(evidence: Evidence, nowMs: number): void {
    const records = this.#records;
    if (evidence === 'own' && this.#isFreshlyOwn(nowMs)) return;
    const slot = records.open(this.#evidence, nowMs, evidence === 'own' ? 'proven' : 'stranger');
    if (slot < 0) return;
    if (evidence !== 'none') noteSwitch(records, slot, evidence, nowMs, this.#windowMs);
    records.stamp(slot, T[evidence], nowMs);
    records.close();
  }

  sent(nowMs: number): void {
    const records = this.#records;
    const found = records.find(this.#port);
    // Of a record that is taken over meanwhile the next frame is written.
    const sentAt = found < 0 ? 0 : records.time(found, T.sent);
    if (sentAt > 0 && nowMs - sentAt < this.#freshMs) return;
    const slot = records.open(this.#port, nowMs, 'stranger');
    if (slot < 0) return;
    records.stamp(slot, T.sent, nowMs);
    records.close();
  }

  unlabelled(nowMs: number): void {
    const records = this.#records;
    const slot = records.open(this.#evidence, nowMs, 'member');
    if (slot < 0) return;
    const goesOn = nowMs - records.time(slot, T.unlabelled) <= this.#windowMs;
    if (!goesOn) records.stamp(slot, T.unlabelledSince, nowMs);
    records.stamp(slot, T.unlabelledCount, goesOn ? records.time(slot, T.unlabelledCount) + 1 : 1);
    records.stamp(slot, T.unlabelled, nowMs);
    records.close();
  }

  answers(nowMs: number): boolean {
    const records = this.#records;
    const place = this.#port;
    const slot = records.find(place);
    if (slot < 0) return false;
    const sentAt = records.time(slot, T.sent);
    return sentAt > 0 && nowMs - sentAt <= ANSWER_WINDOW_MS && records.holds(place);
  }

  /** Whether the own label was seen just now, and nothing else since: seeing it again would change nothing but the stamp. */
  #isFreshlyOwn(nowMs: number): boolean {
    const records = this.#records;
    const slot = records.find(this.#evidence);
    if (slot < 0) return false;
    const own = records.time(slot, T.own);
    return own > 0 && nowMs - own < this.#freshMs && own >= records.time(slot, T.foreign);
  }
}

/** Two changes of identity within the window are no recycled address but two members behind one: NAT or a host network. */
function noteSwitch(
  records: Records,
  slot: number,
  evidence: 'own' | 'foreign',
  nowMs: number,
  windowMs: number,
): void {
  const same = records.time(slot, T[evidence]);
  const other = records.time(slot, evidence === 'own' ? T.foreign : T.own);
  if (other === 0 || other <= same || nowMs - other > windowMs) return;
  const switched = records.time(slot, T.switched);
  if (switched > 0 && nowMs - switched <= windowMs) records.stamp(slot, T.ambiguous, nowMs);
  records.stamp(slot, T.switched, nowMs);
}
