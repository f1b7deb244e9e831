/**
 * The event loop of the engine's thread: one epoll over every socket of every fence, its own timers. It blocks in the kernel, so node's
 * timers, promises and sockets rest meanwhile; whoever lives in this thread uses these.
 */
import { createTimerQueue, type Timers } from '../timers.ts';
import { EPOLL_DATA_AT, EPOLL_EVENT_BYTES } from './stream-calls.ts';
import type { Syscalls } from './syscalls.ts';

/** Events that one wait takes. */
const EVENTS_MAX = 256;
/** Where an event's parts are, in 32-bit words. */
const EVENT_WORDS = EPOLL_EVENT_BYTES / 4;
const DATA_WORD = EPOLL_DATA_AT / 4;
/** Bulk is served for so long in a turn, ms: whoever has events waits no longer for it, but for the end of what was begun. */
const BULK_MS = 1;
/**
 * After bulk was served the thread rests so long before it waits again, µs: bulk comes in pieces, and to be woken for each costs more than to
 * move several at once. Whatever else happens meanwhile waits as long, less than for a turn of bulk itself.
 */
const BULK_REST_US = 250;
/** What is deferred may defer more, which is carried out without a wait between so many times. */
const DEFER_ROUNDS_MAX = 8;

/** Somebody who is told that a descriptor is ready; level-triggered unless EPOLLET is asked for. */
export interface Watched {
  /** `events`: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP of stream-calls.ts. Must not throw. */
  ready(events: number): void;
}

/** Somebody who asked for a call later in the turn. */
export interface Deferred {
  /** Must not throw. */
  later(): void;
}

interface Entry {
  readonly watched: Watched;
  /** Tells a descriptor from a former one of the same number, of which an event may still be in hand. */
  readonly generation: number;
  events: number;
}

export class Loop {
  readonly timers: Timers;
  readonly #calls: Syscalls;
  readonly #clock: () => number;
  readonly #epoll: number;
  readonly #entries: (Entry | undefined)[] = [];
  readonly #events = Buffer.from(new ArrayBuffer(EVENTS_MAX * EPOLL_EVENT_BYTES));
  readonly #words = new Int32Array(this.#events.buffer);
  readonly #eventsAt: number;
  readonly #queue;
  #deferred: Deferred[] = [];
  readonly #bulk: Deferred[] = [];
  #servedBulk = false;
  #toNext: Deferred[] = [];
  #generation = 0;
  #nowMs: number;

  /** `clock`: ms that never run backwards. Throws a SystemError. */
  constructor(calls: Syscalls, clock: () => number) {
    this.#calls = calls;
    this.#clock = clock;
    this.#nowMs = clock();
    this.#epoll = calls.streams.epollCreate();
    this.#eventsAt = Number(calls.address(this.#events));
    this.#queue = createTimerQueue(() => this.#nowMs);
    this.timers = this.#queue;
  }

  /** The time of this turn: when its events were there. */
  now(): number {
    return this.#nowMs;
  }

  /** Watches `fd` until `unwatch`, which must come before it is closed. Throws a SystemError (no memory, too many watches). */
  watch(fd: number, events: number, watched: Watched): void {
    this.#generation = (this.#generation + 1) | 0;
    const generation = this.#generation;
    this.#calls.streams.epollAdd(this.#epoll, fd, events, fd, generation);
    this.#entries[fd] = { watched, generation, events };
  }

  /** Changes what is waited for; 0: only errors and hang-ups are told. */
  change(fd: number, events: number): void {
    const entry = this.#entries[fd];
    if (entry === undefined || entry.events === events) return;
    entry.events = events;
    this.#calls.streams.epollChange(this.#epoll, fd, events, fd, entry.generation);
  }

  /** Ends the watch; nothing is told any more, not even what is in hand. `closing`: the caller closes it now, which ends the kernel's part. */
  unwatch(fd: number, closing = false): void {
    if (this.#entries[fd] === undefined) return;
    this.#entries[fd] = undefined;
    if (!closing) this.#calls.streams.epollRemove(this.#epoll, fd);
  }

  /** Calls `later` of `deferred` once, after the events in hand and before a wait that blocks. */
  defer(deferred: Deferred): void {
    this.#deferred.push(deferred);
  }

  /** The same for bulk: in the order of asking, but in a later turn if the time of this one is used up. */
  deferBulk(deferred: Deferred): void {
    this.#bulk.push(deferred);
  }

  /** The same in the next turn, which comes at once, as its last: by then who was written to in this one may have answered. */
  deferToNext(deferred: Deferred): void {
    this.#toNext.push(deferred);
  }

  /** Waits for events, at most `waitMs`, and carries them out: events, timers, what was deferred. */
  turn(waitMs: number): void {
    const fromLast = this.#toNext;
    this.#toNext = [];
    const nextMs = this.#queue.nextMs();
    const untilTimer = nextMs === undefined ? waitMs : Math.max(0, Math.ceil(nextMs - this.#clock()));
    const timeoutMs =
      this.#deferred.length + this.#bulk.length + fromLast.length > 0 ? 0 : Math.min(waitMs, untilTimer);
    if (this.#servedBulk && timeoutMs > 0) this.#calls.streams.rest(BULK_REST_US);
    this.#servedBulk = false;
    const count = this.#calls.streams.epollWait(this.#epoll, this.#eventsAt, EVENTS_MAX, timeoutMs);
    this.#nowMs = this.#clock();
    for (let i = 0; i < count; i++) {
      const at = i * EVENT_WORDS;
      const entry = this.#entries[this.#words[at + DATA_WORD] as number];
      if (entry === undefined || entry.generation !== this.#words[at + DATA_WORD + 1]) continue;
      entry.watched.ready(this.#words[at] as number);
    }
    this.#queue.run(this.#nowMs);
    for (let rounds = 0; rounds < DEFER_ROUNDS_MAX && this.#deferred.length > 0; rounds++) {
      const deferred = this.#deferred;
      this.#deferred = [];
      for (const one of deferred) one.later();
    }
    for (const one of fromLast) one.later();
    if (this.#bulk.length > 0) this.#serveBulk();
  }

  #serveBulk(): void {
    this.#servedBulk = true;
    const untilMs = this.#clock() + BULK_MS;
    for (let left = this.#bulk.length; left > 0; left--) {
      this.#bulk.shift()?.later();
      if (this.#clock() >= untilMs) return;
    }
  }

  close(): void {
    this.#calls.close(this.#epoll);
  }
}
