/**
 * When the queue of a UDP socket that everybody sends to is read: as soon as something is there, which epoll tells; or, while datagrams come
 * faster than that pays, by the clock. A thread that keeps up with tens of thousands a second finds one or two at each look, and then a look
 * (a wait, a receive, a send, and what is done once for a batch) costs as much as they do. What waits a millisecond or two is taken together.
 */
import type { Timer } from '../timers.ts';
import { BATCH } from './datagram-batch.ts';
import type { Loop, Watched } from './loop.ts';
import type { ReceiveQueue } from './receive-queue.ts';
import { EPOLLIN } from './stream-calls.ts';
import { SystemError } from './syscalls.ts';

/** Batches that one look takes before others have their turn, and the datagrams in them. */
export const BATCHES_PER_TURN = 8;
export const TURN_MAX = BATCHES_PER_TURN * BATCH;
/** So many looks within so long, ms, are too many: a third of a core is spent on looking. */
export const LOOKS_MAX = 512;
export const LOOKS_WITHIN_MS = 16;
/** From one look by the clock to the next, ms, and up to one more: the loop waits whole ones. */
export const CLOCK_MS = 1;
/** So many looks in a row that find fewer than so many datagrams: it is calm, and epoll tells again. */
export const CALM_LOOKS = 8;
export const CALM_FOUND = 16;
/** A queue that is fuller than this when it is looked at has too little room for what comes meanwhile: epoll tells, for so long, ms. */
export const FILL_MAX = 0.25;
export const CROWDED_MS = 1_000;

type WatchedQueue = Pick<ReceiveQueue, 'fd' | 'fill'>;

/** Of one socket, which it does not close. */
export class QueueWatch implements Watched {
  readonly #loop: Loop;
  readonly #queue: WatchedQueue;
  readonly #read: () => number;
  /** How many there were since then; a time to come: not counted yet. */
  #looks = 0;
  #sinceMs: number;
  #calmLooks = 0;
  /** Undefined: epoll tells. */
  #clock: Timer | undefined;

  /** `read`: takes what waits, bounded, and returns how much it was. Throws a SystemError. */
  constructor(loop: Loop, queue: WatchedQueue, read: () => number) {
    this.#loop = loop;
    this.#queue = queue;
    this.#read = read;
    this.#sinceMs = loop.now();
    loop.watch(queue.fd, EPOLLIN, this);
  }

  ready(): void {
    this.#read();
    const nowMs = this.#loop.now();
    if (nowMs < this.#sinceMs) return;
    if (nowMs - this.#sinceMs >= LOOKS_WITHIN_MS) {
      this.#sinceMs = nowMs;
      this.#looks = 0;
    }
    this.#looks++;
    if (this.#looks < LOOKS_MAX) return;
    if (this.#isCrowded()) {
      this.#holdFor(CROWDED_MS);
      return;
    }
    this.#loop.unwatch(this.#queue.fd);
    this.#calmLooks = 0;
    this.#wind();
  }

  /** Before the socket is closed. */
  stop(): void {
    if (this.#clock === undefined) this.#loop.unwatch(this.#queue.fd, true);
    else this.#clock.clear();
  }

  #wind(): void {
    this.#clock = this.#loop.timers.set(CLOCK_MS, () => this.#look());
  }

  #look(): void {
    this.#wind();
    const crowded = this.#isCrowded();
    const found = this.#read();
    this.#calmLooks = found < CALM_FOUND ? this.#calmLooks + 1 : 0;
    // Of what one look leaves, epoll tells at once.
    if (crowded || found >= TURN_MAX || this.#calmLooks >= CALM_LOOKS) this.#giveBack(crowded ? CROWDED_MS : 0);
  }

  #isCrowded(): boolean {
    return this.#queue.fill() > FILL_MAX;
  }

  #holdFor(ms: number): void {
    this.#sinceMs = this.#loop.now() + ms;
    this.#looks = 0;
  }

  /** What waits already is told at once. A kernel that refuses is asked again the next time. */
  #giveBack(forMs: number): void {
    try {
      this.#loop.watch(this.#queue.fd, EPOLLIN, this);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return;
    }
    this.#clock?.clear();
    this.#clock = undefined;
    this.#holdFor(forMs);
  }
}
