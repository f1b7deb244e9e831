/**
 * Frames that wait until it is known who their peer is. Bounded in frames, in bytes, in questions a second and in time; whatever finds
 * no room is decided by what is known. Pure of timers: whoever owns it calls `expire` (the worker's loop, timed-doubts.ts).
 *
 * A flood of made-up senders must neither flood who is asked nor keep members from being asked about: peers that no single datagram can
 * make up have questions and half of the room to themselves, and no peer has much of it.
 */
import type { Doubts, Stranger } from './engine.ts';
import { createTokenBucket } from './token-bucket.ts';

/** Frames that wait at once: a few times what a member's ring of 1,000 sends a second. */
export const WAITING_MAX = 4_096;
/** Frames of one peer that wait at once: what a neighbour gossips within the default wait, several times over. */
export const WAITING_PER_PEER_MAX = 64;
/** What peers that may be made up (Stranger.reached is false) have of the room. */
const UNREACHED_SHARE = 0.5;
/** Questions at once, and a second: about peers that were reached, and about the others. */
const REACHED_BURST = 100;
const REACHED_PER_SECOND = 50;
const UNREACHED_BURST = 40;
const UNREACHED_PER_SECOND = 20;
/** How long nobody asks again about a peer after an answer, or after none came in time, ms: its frames are decided at once meanwhile. */
export const REST_MS = 1_000;
/** Peers whose last question is remembered; the oldest is forgotten, and may be asked about again. */
const REMEMBERED_MAX = 4_096;

export interface DoubtsOptions {
  /** Whether asking about a peer can help: DNS names are configured. */
  canAsk(): boolean;
  /** The stage is not known yet: every frame waits, and no answer ends that before the stage is there. */
  starting(): boolean;
  /** Asks about `peer`; its answer ends in `answered`, never before this returns. Questions count up from 1. */
  ask(peer: Stranger, question: number): void;
  /** ms; never runs backwards. */
  now(): number;
  /** How long a frame waits at most, ms; 0: not at all, and it is asked about all the same. */
  readonly waitMs: number;
  /** Bytes that wait at once. */
  readonly bytesMax: number;
}

export interface DoubtsQueue extends Doubts {
  /** Ends the waits that have lasted waitMs at `nowMs`. Returns when the next one will have (same clock); undefined when nothing waits. */
  expire(nowMs: number): number | undefined;
}

interface Waiting {
  readonly peer: Stranger;
  readonly bytes: number;
  /** What its peer was asked about with; 0: nothing, it waits for the stage alone. */
  readonly question: number;
  readonly untilMs: number;
  again(): void;
}

/** The last question about a peer: open until the first time, and not asked again until the second. */
interface Asked {
  readonly question: number;
  openUntilMs: number;
  restsUntilMs: number;
}

export function createDoubts(options: DoubtsOptions): DoubtsQueue {
  return new Queue(options);
}

class Queue implements DoubtsQueue {
  readonly #options: DoubtsOptions;
  readonly #buckets = {
    reached: createTokenBucket(REACHED_BURST, REACHED_PER_SECOND),
    unreached: createTokenBucket(UNREACHED_BURST, UNREACHED_PER_SECOND),
  };
  /** In the order of arrival, and so of their ends. */
  #waiting: Waiting[] = [];
  readonly #ofPeer = new Map<string, number>();
  readonly #used = { frames: 0, bytes: 0, unreachedFrames: 0, unreachedBytes: 0 };
  /** In the order of their questions. */
  readonly #asked = new Map<string, Asked>();
  #questions = 0;

  constructor(options: DoubtsOptions) {
    this.#options = options;
  }

  wait(peer: Stranger, bytes: number, again: () => void): boolean {
    const { canAsk, starting, waitMs } = this.#options;
    const atStart = starting();
    if (!atStart && !canAsk()) return false;
    const nowMs = this.#options.now();
    const before = this.#questions;
    const question = this.#questionAbout(peer, nowMs);
    const waits = waitMs > 0 && (atStart || question > 0) && this.#hasRoom(peer, bytes);
    if (waits) this.#add({ peer, bytes, question, untilMs: nowMs + waitMs, again });
    if (question > before) this.#options.ask(peer, question);
    return waits;
  }

  ask(peer: Stranger): void {
    if (!this.#options.canAsk()) return;
    const before = this.#questions;
    const question = this.#questionAbout(peer, this.#options.now());
    if (question > before) this.#options.ask(peer, question);
  }

  answered(address?: string, upTo = this.#questions): void {
    // What waits for the stage is not answered by what DNS says.
    if (this.#options.starting()) return;
    const nowMs = this.#options.now();
    for (const about of address === undefined ? this.#asked.keys() : [address]) {
      const asked = this.#asked.get(about);
      if (asked === undefined || asked.question > upTo || asked.openUntilMs <= nowMs) continue;
      asked.openUntilMs = nowMs;
      asked.restsUntilMs = nowMs + REST_MS;
    }
    // What nobody was asked about waited for the stage alone.
    const ends = ({ question, peer }: Waiting) =>
      question === 0 || (question <= upTo && (address === undefined || address === peer.address));
    this.#release(ends);
  }

  expire(nowMs: number): number | undefined {
    const [first] = this.#waiting;
    if (first !== undefined && first.untilMs <= nowMs) this.#release(({ untilMs }) => untilMs <= nowMs);
    return this.#waiting[0]?.untilMs;
  }

  waiting(): number {
    return this.#used.frames;
  }

  /** The open question about a peer, a new one where one may be asked; 0: none, and none may be. */
  #questionAbout({ address, reached }: Stranger, nowMs: number): number {
    const known = this.#asked.get(address);
    if (known !== undefined) {
      if (known.openUntilMs > nowMs) return known.question;
      if (known.restsUntilMs > nowMs) return 0;
    }
    if (!this.#buckets[reached ? 'reached' : 'unreached'].take(nowMs)) return 0;
    const openUntilMs = nowMs + this.#options.waitMs;
    const question = ++this.#questions;
    this.#asked.delete(address);
    this.#asked.set(address, { question, openUntilMs, restsUntilMs: openUntilMs + REST_MS });
    if (this.#asked.size > REMEMBERED_MAX) this.#forgetOldest();
    return question;
  }

  #forgetOldest(): void {
    const [oldest] = this.#asked.keys();
    if (oldest !== undefined) this.#asked.delete(oldest);
  }

  #hasRoom({ address, reached }: Stranger, bytes: number): boolean {
    const { bytesMax } = this.#options;
    const used = this.#used;
    if (used.frames >= WAITING_MAX || used.bytes + bytes > bytesMax) return false;
    if ((this.#ofPeer.get(address) ?? 0) >= WAITING_PER_PEER_MAX) return false;
    if (reached) return true;
    return (
      used.unreachedFrames < WAITING_MAX * UNREACHED_SHARE && used.unreachedBytes + bytes <= bytesMax * UNREACHED_SHARE
    );
  }

  #add(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#count(waiting, 1);
  }

  #count({ peer: { address, reached }, bytes }: Waiting, by: 1 | -1): void {
    const used = this.#used;
    used.frames += by;
    used.bytes += by * bytes;
    if (!reached) {
      used.unreachedFrames += by;
      used.unreachedBytes += by * bytes;
    }
    const left = (this.#ofPeer.get(address) ?? 0) + by;
    if (left > 0) this.#ofPeer.set(address, left);
    else this.#ofPeer.delete(address);
  }

  /** Calls each of those that `ends` names, in their order. What they lead to may wait anew. */
  #release(ends: (waiting: Waiting) => boolean): void {
    const ended = this.#waiting.filter(ends);
    if (ended.length === 0) return;
    this.#waiting = this.#waiting.filter((waiting) => !ends(waiting));
    for (const waiting of ended) this.#count(waiting, -1);
    for (const { again } of ended) again();
  }
}
