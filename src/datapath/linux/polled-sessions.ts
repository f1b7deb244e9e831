/**
 * Sessions under load, read by the clock and not by epoll. A socket that epoll watches wakes it for every datagram that it sends: as soon
 * as the kernel is done with one there is room for another, which is told to whoever waits, wanted or not (net/core/sock.c sock_wfree). That
 * is a twentieth of what a datagram costs. At such a rate nobody needs to be told that something waits.
 */
import type { FenceContext } from '../engine.ts';
import type { Timer } from '../timers.ts';
import type { Session } from './listen-session.ts';
import type { Loop } from './loop.ts';
import { EPOLLIN } from './stream-calls.ts';
import { SystemError } from './syscalls.ts';

/** Sessions that are read so at once: each costs a call that mostly finds nothing. */
export const POLLED_MAX = 128;
/** How often, ms; an answer waits no longer for it, beyond a turn of the loop. */
export const POLL_MS = 4;
/** Without a datagram either way for so long, ms, epoll watches it again. */
export const POLLED_IDLE_MS = 100;

export interface PolledSessionsOptions {
  readonly context: Pick<FenceContext, 'now'>;
  readonly loop: Loop;
  /** Reads what waits, if anything does. */
  onReadable(session: Session): void;
}

export class PolledSessions {
  readonly #options: PolledSessionsOptions;
  #sessions: Session[] = [];
  #timer: Timer | undefined;

  constructor(options: PolledSessionsOptions) {
    this.#options = options;
  }

  /** Takes over an open session from epoll, if there is room. */
  take(session: Session): void {
    if (this.#sessions.length >= POLLED_MAX) return;
    this.#options.loop.unwatch(session.fd);
    session.polled = true;
    this.#sessions.push(session);
    this.#timer ??= this.#later();
  }

  /** `session` is about to be closed. */
  drop(session: Session): void {
    if (!session.polled) return;
    session.polled = false;
    this.#sessions = this.#sessions.filter((one) => one !== session);
  }

  stop(): void {
    this.#timer?.clear();
  }

  #later(): Timer {
    return this.#options.loop.timers.set(POLL_MS, () => this.#poll());
  }

  #poll(): void {
    const { context, onReadable } = this.#options;
    const idleBeforeMs = context.now() - POLLED_IDLE_MS;
    // Reading may close sessions, which takes them out of the list of the next time.
    for (const session of this.#sessions) {
      if (session.polled) onReadable(session);
      if (session.polled && session.lastMs <= idleBeforeMs) this.#giveBack(session);
    }
    this.#timer = this.#sessions.length > 0 ? this.#later() : undefined;
  }

  /** What waits already is told at once. A kernel that refuses is asked again the next time. */
  #giveBack(session: Session): void {
    try {
      this.#options.loop.watch(session.fd, EPOLLIN, session);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return;
    }
    this.drop(session);
  }
}
