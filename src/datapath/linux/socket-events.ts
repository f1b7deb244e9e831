/** Who listens to the events of a raw socket: a handful of arrays, made anew at each change, so that a listener may come or go in the middle of an event. */

/** The events of datapath/socket.ts. */
export interface SocketListeners {
  readonly data: (chunk: Buffer) => void;
  readonly end: () => void;
  readonly drain: () => void;
  readonly connect: () => void;
  readonly error: (error: Error) => void;
  readonly close: (hadError: boolean) => void;
}

export type SocketEvent = keyof SocketListeners;

type Lists = { [E in SocketEvent]: readonly SocketListeners[E][] };

const NOBODY: readonly never[] = [];

export class SocketEvents {
  readonly #lists: Lists = {
    data: NOBODY,
    end: NOBODY,
    drain: NOBODY,
    connect: NOBODY,
    error: NOBODY,
    close: NOBODY,
  };

  add<E extends SocketEvent>(event: E, listener: SocketListeners[E]): void {
    const lists: Lists = this.#lists;
    const known: readonly SocketListeners[E][] = lists[event];
    lists[event] = (known.length === 0 ? [listener] : [...known, listener]) as Lists[E];
  }

  /** The last of several that are the same, as node does. */
  remove<E extends SocketEvent>(event: E, listener: SocketListeners[E]): void {
    const known: readonly SocketListeners[E][] = this.#lists[event];
    const at = known.lastIndexOf(listener);
    if (at >= 0) this.#lists[event] = known.toSpliced(at, 1) as Lists[E];
  }

  hasData(): boolean {
    return this.#lists.data.length > 0;
  }

  data(chunk: Buffer): void {
    for (const listener of this.#lists.data) listener(chunk);
  }

  end(): void {
    for (const listener of this.#lists.end) listener();
  }

  drain(): void {
    for (const listener of this.#lists.drain) listener();
  }

  connect(): void {
    for (const listener of this.#lists.connect) listener();
  }

  error(error: Error): void {
    for (const listener of this.#lists.error) listener(error);
  }

  close(hadError: boolean): void {
    for (const listener of this.#lists.close) listener(hadError);
  }
}
