/**
 * A connection as the stream engine knows it: what it needs of node's Socket, which is one, so that the raw sockets of the Linux
 * engine (linux/raw-socket.ts) take the same way through judge, hold and relay.
 *
 * Events, as node's: `data` (a chunk), `end` (the other side has ended), `drain`, `connect`, `error` (then `close`), `close` (once, last,
 * whether it failed). Nothing is read while nobody listens to `data` or while paused. A half-close leaves the other half open.
 */
export interface StreamSocket {
  /** No further use: closed, or closing. */
  readonly destroyed: boolean;
  /** `close` was given. */
  readonly closed: boolean;
  readonly connecting: boolean;
  /** The other side's end was given as `end`. */
  readonly readableEnded: boolean;
  /** `end` was called here. */
  readonly writableEnded: boolean;
  /** And its FIN is with the kernel. */
  readonly writableFinished: boolean;
  on(event: 'data', listener: (chunk: Buffer) => void): this;
  on(event: 'end' | 'drain' | 'connect', listener: () => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'close', listener: (hadError: boolean) => void): this;
  off(event: 'data', listener: (chunk: Buffer) => void): this;
  off(event: 'end' | 'drain' | 'connect', listener: () => void): this;
  off(event: 'error', listener: (error: Error) => void): this;
  off(event: 'close', listener: (hadError: boolean) => void): this;
  pause(): this;
  resume(): this;
  /** False: more than the high-water mark waits, and `drain` follows. `written` gets an error when the bytes were not taken. */
  write(bytes: Uint8Array, written?: (error?: Error | null) => void): boolean;
  /** A FIN after everything written, `bytes` included. */
  end(): this;
  end(bytes: Uint8Array): this;
  /** Closes; with an error `error` is given too. */
  destroy(error?: Error): this;
  /** Closes with a RST. */
  resetAndDestroy(): this;
  /**
   * Where it exists, `end` is given for a FIN alone, never for a reset; node's sockets leave that open (relay.ts confirmFin).
   */
  readonly endIsFin?: true;
  /**
   * Where it exists: from the next chunk on chunks are lent, good only until the listener returns, which spares their memory. What is written
   * to a socket that has it may be lent bytes: it copies what it cannot hand over at once.
   */
  lend?(): void;
}
