/**
 * Budgets of bytes that the streams of one direction share. None of them says no at once: what finds no room waits for it, and its own
 * time-out ends the waiting.
 */
import { Chain, type Linked } from './chain.ts';

/** The part of a budget that one peer may have with more than one stream: four peers at least must agree to keep others waiting. */
const PEER_PART = 4;

/** What a held chunk weighs beside its bytes, roughly: its objects. A stream may come in pieces of a byte. */
const CHUNK_OVERHEAD_BYTES = 512;

/** The share of one stream in what is held. */
export interface HoldClaim {
  /** Counts bytes that were read and are held. False: nothing more should be read before `onRoom` is called. */
  take(bytes: number): boolean;
  /** Gives everything back; may be called again. */
  release(): void;
}

/**
 * Bytes held of streams that wait for the rest of themselves. The room of one stream is kept free, and only one stream at a time
 * may use it: so streams that together fill the budget cannot wait for each other. Overshoots by one read of each stream. Several streams
 * of one peer share a part of it; beyond that they go one at a time.
 */
export class HoldBudget {
  readonly #sharedBytes: number;
  /** In the order of arrival. */
  readonly #claims = new Chain<Claim>();
  /** How many of them wait for room. */
  #waiting = 0;
  readonly #ofPeer = new PeerSums();
  /** Whose reading goes on without room. */
  #privileged: Claim | undefined;
  #used = 0;

  /** `streamBytes`: the bound of one stream, which each stream keeps by itself. */
  constructor(totalBytes: number, streamBytes: number) {
    this.#sharedBytes = totalBytes - streamBytes;
  }

  /** `onRoom` is called once after each time that `take` gave false, when there is room. `peer`: who may be greedy, its address. */
  claim(peer: string, onRoom: () => void): HoldClaim {
    const claim = new Claim(this, peer, onRoom);
    this.#claims.append(claim);
    return claim;
  }

  /** For a claim of its own (HoldClaim). */
  take(claim: Claim, bytes: number): boolean {
    if (!claim.linked) return true;
    this.#count(claim, bytes);
    const hasRoom = this.#hasRoom(claim);
    if (!hasRoom) this.#privileged ??= claim;
    this.#mark(claim, !hasRoom && this.#privileged !== claim);
    return !claim.waiting;
  }

  release(claim: Claim): void {
    if (!claim.linked) return;
    this.#claims.remove(claim);
    this.#mark(claim, false);
    this.#count(claim, -claim.bytes);
    if (this.#privileged === claim) this.#privileged = undefined;
    this.#wake();
  }

  used(): number {
    return this.#used;
  }

  #count(claim: Claim, bytes: number): void {
    claim.bytes += bytes;
    this.#used += bytes;
    this.#ofPeer.add(claim.peer, bytes);
  }

  #hasRoom(claim: Claim): boolean {
    return this.#used < this.#sharedBytes && this.#isModest(claim);
  }

  /** Whether it is its peer's only one, or all of that peer's keep to their share. */
  #isModest({ peer, bytes }: Claim): boolean {
    const ofPeer = this.#ofPeer.get(peer);
    return ofPeer === bytes || ofPeer < this.#sharedBytes / PEER_PART;
  }

  #mark(claim: Claim, waiting: boolean): void {
    if (claim.waiting === waiting) return;
    claim.waiting = waiting;
    this.#waiting += waiting ? 1 : -1;
  }

  #wake(): void {
    let next: Claim | undefined;
    for (const claim of this.#thoseWaiting()) {
      if (!claim.waiting) continue;
      if (this.#hasRoom(claim)) this.#resume(claim);
      else if (next === undefined || (!this.#isModest(next) && this.#isModest(claim))) next = claim;
    }
    // Whoever was told may have ended it, or what it gave back may have done.
    if (next?.waiting !== true || this.#privileged !== undefined) return;
    this.#privileged = next;
    this.#resume(next);
  }

  /** Apart, because who is told may come and go. */
  #thoseWaiting(): readonly Claim[] {
    const out: Claim[] = [];
    if (this.#waiting === 0) return out;
    for (let claim = this.#claims.first; claim !== undefined; claim = claim.after) if (claim.waiting) out.push(claim);
    return out;
  }

  #resume(claim: Claim): void {
    this.#mark(claim, false);
    claim.onRoom();
  }
}

class Claim implements HoldClaim, Linked<Claim> {
  readonly #budget: HoldBudget;
  readonly peer: string;
  readonly onRoom: () => void;
  bytes = 0;
  waiting = false;
  /** Until it is released. */
  linked = false;
  before: Claim | undefined;
  after: Claim | undefined;

  constructor(budget: HoldBudget, peer: string, onRoom: () => void) {
    this.#budget = budget;
    this.peer = peer;
    this.onRoom = onRoom;
  }

  take(bytes: number): boolean {
    return this.#budget.take(this, bytes);
  }

  release(): void {
    this.#budget.release(this);
  }
}

/** What a chunk counts for in a HoldBudget. */
export function weightOf(chunk: Uint8Array): number {
  return chunk.length + CHUNK_OVERHEAD_BYTES;
}

/** Sums by peer; whose sum is zero is forgotten. */
class PeerSums {
  readonly #sums = new Map<string, number>();

  get(peer: string): number {
    return this.#sums.get(peer) ?? 0;
  }

  add(peer: string, bytes: number): void {
    const sum = this.get(peer) + bytes;
    if (sum === 0) this.#sums.delete(peer);
    else this.#sums.set(peer, sum);
  }
}

/** What one stream makes its receiver reserve. */
export interface AnnouncedClaim {
  /** Gives the room back, or ends the waiting; may be called again. */
  release(): void;
}

const NOTHING_ANNOUNCED: AnnouncedClaim = { release: () => undefined };

/**
 * Bytes that open streams make their receiver reserve (wire-protocol §6 row 8). Whoever fits goes first; of those, the oldest. Several
 * streams of one peer share a part of it.
 */
export class AnnouncedBudget {
  readonly #totalBytes: number;
  readonly #waiting = new Set<{ readonly peer: string; readonly bytes: number; readonly onRoom: () => void }>();
  readonly #ofPeer = new PeerSums();
  #used = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** Calls `onRoom` as soon as `bytes` have room, at once where they have; undefined when they never can. */
  claim(peer: string, bytes: number, onRoom: () => void): AnnouncedClaim | undefined {
    if (bytes > this.#totalBytes) return undefined;
    if (bytes === 0) {
      onRoom();
      return NOTHING_ANNOUNCED;
    }
    const request = { peer, bytes, onRoom };
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      if (this.#waiting.delete(request)) return;
      this.#count(peer, -bytes);
      this.#wake();
    };
    if (this.#fits(peer, bytes)) {
      this.#count(peer, bytes);
      onRoom();
    } else this.#waiting.add(request);
    return { release };
  }

  used(): number {
    return this.#used;
  }

  #count(peer: string, bytes: number): void {
    this.#used += bytes;
    this.#ofPeer.add(peer, bytes);
  }

  #fits(peer: string, bytes: number): boolean {
    const ofPeer = this.#ofPeer.get(peer);
    return this.#used + bytes <= this.#totalBytes && (ofPeer === 0 || ofPeer + bytes <= this.#totalBytes / PEER_PART);
  }

  #wake(): void {
    for (const request of this.#waiting) {
      if (!this.#fits(request.peer, request.bytes)) continue;
      this.#waiting.delete(request);
      this.#count(request.peer, request.bytes);
      request.onRoom();
    }
  }
}

/** The budgets of one direction's streams. */
export interface StreamBudgets {
  readonly held: HoldBudget;
  readonly announced: AnnouncedBudget;
  /** dskit packets that are collected for inspection alone, those of rejected streams apart. */
  readonly watched: HoldBudget;
  readonly watchedRejected: HoldBudget;
}
