/**
 * A connection as the stream engine knows it: what node's Socket does, so that node's (node-streams.ts) and the raw sockets of the Linux
 * engine (linux/raw-socket.ts) take the same way through judge, hold and relay. Who owns it is told of its events; that is one object for a
 * connection's whole life, so that nothing is registered or taken back on the way.
 */

/** Who is told what happens to sockets; calls come one at a time, never from within a call of a socket's own method. */
export interface SocketOwner {
  /** Not while the socket is paused. */
  onData(socket: StreamSocket, chunk: Buffer): void;
  /** The other side has ended. */
  onEnd(socket: StreamSocket): void;
  onDrain(socket: StreamSocket): void;
  onConnect(socket: StreamSocket): void;
  /** `onClose` follows. */
  onError(socket: StreamSocket, error: Error): void;
  /** Once, last. */
  onClose(socket: StreamSocket, hadError: boolean): void;
}

/** An owner that does nothing: for those whom only some of the events concern. */
export class IdleOwner implements SocketOwner {
  onData(_socket: StreamSocket, _chunk: Buffer): void {}
  onEnd(_socket: StreamSocket): void {}
  onDrain(_socket: StreamSocket): void {}
  onConnect(_socket: StreamSocket): void {}
  onError(_socket: StreamSocket, _error: Error): void {}
  onClose(_socket: StreamSocket, _hadError: boolean): void {}
}

const NOBODY: SocketOwner = new IdleOwner();

/** An owner that goes through phases, each of which is told in its place. */
export abstract class PhasedOwner implements SocketOwner {
  /** Who is told now. */
  protected phase: SocketOwner = NOBODY;

  onData(socket: StreamSocket, chunk: Buffer): void {
    this.phase.onData(socket, chunk);
  }

  onEnd(socket: StreamSocket): void {
    this.phase.onEnd(socket);
  }

  onDrain(socket: StreamSocket): void {
    this.phase.onDrain(socket);
  }

  abstract onConnect(socket: StreamSocket): void;

  onError(socket: StreamSocket, error: Error): void {
    this.phase.onError(socket, error);
  }

  onClose(socket: StreamSocket, hadError: boolean): void {
    this.phase.onClose(socket, hadError);
  }
}

/** What can be reset (endings.ts). */
export interface Resettable {
  /** No further use: closed, or closing. */
  readonly destroyed: boolean;
  readonly connecting: boolean;
  /** `end` was called here. */
  readonly writableEnded: boolean;
  /** And its FIN is with the kernel. */
  readonly writableFinished: boolean;
  /** Closes; with an error `onError` is told too. */
  destroy(error?: Error): this;
  /** Closes with a RST. */
  resetAndDestroy(): this;
}

/** Nothing is read without an owner, or while paused. A half-close leaves the other half open. */
export interface StreamSocket extends Resettable {
  /** Nobody is told of what happens while there is none. */
  owner?: SocketOwner | undefined;
  /** `onClose` was told, or is about to be. */
  readonly closed: boolean;
  /** The other side's end was told. */
  readonly readableEnded: boolean;
  pause(): this;
  resume(): this;
  /** False: more than the high-water mark waits, and `onDrain` follows. `written` gets an error when the bytes were not taken. */
  write(bytes: Uint8Array, written?: (error?: Error | null) => void): boolean;
  /** A FIN after everything written, `bytes` included. */
  end(): this;
  end(bytes: Uint8Array): this;
  /**
   * Where it exists: `end` follows as soon as all that waits is written, or a reset. So the last of it may go with the FIN, in one packet.
   */
  endFollows?(): void;
  /**
   * Where it exists, `onEnd` tells a FIN alone, never a reset; node's sockets leave that open (endings.ts confirmFin).
   */
  readonly endIsFin?: true;
  /** Where it exists: closing one whose other side has ended sends the FIN too, after everything that the kernel was given. */
  readonly closeIsFin?: true;
  /**
   * Where it exists: from the next chunk on chunks are lent, good only until `onData` returns, which spares their memory. What is written
   * to a socket that has it may be lent bytes: it copies what it cannot hand over at once.
   */
  lend?(): void;
  /**
   * Where it exists: nobody looks at what comes from here on, and all of it is written to `to`, as it is. So what comes in bulk may go there
   * without being given as `data`; `passed` is told how much. Whatever else is told, an end or an error too, comes after it was written.
   */
  passTo?(to: StreamSocket, passed: (bytes: number) => void): void;
}
