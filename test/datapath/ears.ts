/** An owner of sockets that many listen through: for tests that put together what is told as they go. */
import type { SocketOwner, StreamSocket } from '../../src/datapath/socket.ts';

interface Heard {
  readonly data: (chunk: Buffer) => void;
  readonly end: () => void;
  readonly drain: () => void;
  readonly connect: () => void;
  readonly error: (error: Error) => void;
  readonly close: (hadError: boolean) => void;
}

/** Tells whoever listens, in the order in which they came. */
export class Ears implements SocketOwner {
  readonly #lists: { [E in keyof Heard]: Heard[E][] } = {
    data: [],
    end: [],
    drain: [],
    connect: [],
    error: [],
    close: [],
  };

  on<E extends keyof Heard>(event: E, listener: Heard[E]): this {
    const list: Heard[E][] = this.#lists[event];
    list.push(listener);
    return this;
  }

  onData(_socket: StreamSocket, chunk: Buffer): void {
    for (const listener of this.#lists.data) listener(chunk);
  }

  onEnd(): void {
    for (const listener of this.#lists.end) listener();
  }

  onDrain(): void {
    for (const listener of this.#lists.drain) listener();
  }

  onConnect(): void {
    for (const listener of this.#lists.connect) listener();
  }

  onError(_socket: StreamSocket, error: Error): void {
    for (const listener of this.#lists.error) listener(error);
  }

  onClose(_socket: StreamSocket, hadError: boolean): void {
    for (const listener of this.#lists.close) listener(hadError);
  }
}

/** Ears that own `socket` from now on. */
export function earsOf(socket: StreamSocket): Ears {
  const ears = new Ears();
  socket.owner = ears;
  return ears;
}
