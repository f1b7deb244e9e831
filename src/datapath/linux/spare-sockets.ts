/**
 * TCP sockets whose connections ended in order, kept for the next that are dialled: the kernel lets one that is closed on both sides be connected
 * anew (connect(2), AF_UNSPEC), for half of what it takes to close it and to open another.
 */
import { AF_INET, AF_INET6, SOCK_STREAM, type Syscalls } from './syscalls.ts';

/** Sockets of a family that are kept; about as many as a turn of the loop dials. */
export const SPARES_MAX = 32;

/** Those of one family. None is bound to an address, and all have what StreamCalls.handshakeWithData sets. */
export class SpareSockets {
  readonly #calls: Syscalls;
  readonly #family: number;
  readonly #spare: number[] = [];

  constructor(calls: Syscalls, family: number) {
    this.#calls = calls;
    this.#family = family;
  }

  /** A socket to be dialled, the caller's. Throws a SystemError. */
  take(): number {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    const fd = this.#calls.socket(this.#family, SOCK_STREAM, 0);
    this.#calls.streams.handshakeWithData(fd);
    return fd;
  }

  /** Takes back what `take` gave: no epoll knows it, nothing was set since. It is closed where the kernel may still have something to send. */
  give(fd: number): void {
    if (this.#spare.length < SPARES_MAX && this.#calls.streams.disconnect(fd)) this.#spare.push(fd);
    else this.#calls.close(fd);
  }

  /** Closes those that are kept, when no more will be asked for. */
  close(): void {
    for (const fd of this.#spare.splice(0)) this.#calls.close(fd);
  }
}

/** One for each family. */
export class Spares {
  readonly #v4: SpareSockets;
  readonly #v6: SpareSockets;

  constructor(calls: Syscalls) {
    this.#v4 = new SpareSockets(calls, AF_INET);
    this.#v6 = new SpareSockets(calls, AF_INET6);
  }

  of(family: number): SpareSockets {
    return family === AF_INET6 ? this.#v6 : this.#v4;
  }

  close(): void {
    this.#v4.close();
    this.#v6.close();
  }
}
