/**
 * Two sockets joined: bytes both ways with backpressure, a FIN passed on as a FIN once everything before it is written, an error or a
 * reset passed on as a reset. The difference matters: a dskit reader delivers whatever a FIN ended (tcp_transport.go
 * `handleConnection`), so an exchange that broke off must never look complete.
 *
 * Sockets must have `allowHalfOpen: true`. At most a high-water mark of each socket (64 KiB) is held in each direction.
 */
import type { Socket } from 'node:net';
import type { RejectReason } from '../policy/reason.ts';
import type { Decoded } from '../wire/reason.ts';

/** What becomes of the dialler's bytes on their way; a DskitRewriter is one. `end` gives what is left at the FIN. */
export interface Transform {
  push(chunk: Uint8Array): Decoded<readonly Uint8Array[]>;
  end(): Decoded<readonly Uint8Array[]>;
}

export interface RelayOptions {
  /** The dialler's side. It may be paused, and may have ended already. */
  readonly downstream: Socket;
  /** The side that was dialled; it may still be connecting. */
  readonly upstream: Socket;
  /** What was read of the dialler's bytes before, as it is to be sent: already transformed, and counted by the caller. */
  readonly first: readonly Uint8Array[];
  /** Applied to the dialler's further bytes; the answer is always raw. */
  readonly transform: Transform | undefined;
  /** After this long without a byte either way both sides are reset. */
  readonly idleTimeoutMs: number;
  /** The dialler's bytes as they arrive, before the transform. */
  onRequest(chunk: Uint8Array): void;
  onAnswer(chunk: Uint8Array): void;
  /** The dialler will send no more bytes. */
  onRequestEnd(): void;
  /** A bound was hit and both sides were reset. */
  onCut(reason: RejectReason): void;
}

const NO_BYTES = Buffer.alloc(0);

/**
 * Resets a connection (RST), and only closes it where it is not yet one. So too while its FIN is on the way: all its bytes are written
 * then, and libuv (uv_tcp_close_reset) would refuse with EINVAL and leave the socket open for good.
 */
export function reset(socket: Socket): void {
  if (socket.destroyed) return;
  const finOnTheWay = socket.writableEnded && !socket.writableFinished;
  if (socket.connecting || finOnTheWay) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * Calls `onFin` if the end that `socket` reported is a FIN. libuv reports a reset as an orderly end when it arrives together with
 * data (uv__stream_io, POLLHUP after a partial read), but the kernel still knows: then writing nothing fails, and the socket
 * gives its 'error' instead. Once our own side has ended nothing can be written, and the end is taken at its word.
 */
export function confirmFin(socket: Socket, onFin: () => void): void {
  if (socket.writableEnded || socket.destroyed) onFin();
  else {
    socket.write(NO_BYTES, (error) => {
      if (!error) onFin();
    });
  }
}

/** One direction. */
class Pump {
  readonly #from: Socket;
  readonly #to: Socket;
  #unwritten = 0;
  #finished = false;
  #broken = false;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
    to.on('drain', () => {
      if (!from.destroyed) from.resume();
    });
  }

  write(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#to.destroyed || this.#to.writableEnded) return;
    this.#unwritten++;
    if (!this.#to.write(chunk, this.#written)) this.#from.pause();
  }

  /** A FIN, after every byte: ending earlier would make a later reset of the same socket impossible (libuv: EINVAL). */
  finish(): void {
    this.#finished = true;
    this.#settle();
  }

  /** A reset, after what had arrived before it. */
  break(): void {
    this.#broken = true;
    this.#settle();
  }

  readonly #written = (): void => {
    this.#unwritten--;
    this.#settle();
  };

  #settle(): void {
    if (this.#to.destroyed || (this.#unwritten > 0 && !(this.#broken && this.#to.connecting))) return;
    if (this.#broken) reset(this.#to);
    else if (this.#finished && !this.#to.writableEnded) this.#to.end();
  }
}

/** Starts passing bytes between the two sockets, until both have closed. The caller listens for that, and for errors. */
export function startRelay(options: RelayOptions): void {
  const { downstream, upstream, transform, idleTimeoutMs } = options;
  const request = new Pump(downstream, upstream);
  const answer = new Pump(upstream, downstream);
  const cut = (reason: RejectReason): void => {
    if (downstream.destroyed && upstream.destroyed) return;
    reset(upstream);
    reset(downstream);
    options.onCut(reason);
  };
  const idle = setTimeout(() => cut('idle_timeout'), idleTimeoutMs);
  const pass = (out: Decoded<readonly Uint8Array[]>): boolean => {
    if (out.ok) for (const bytes of out.value) request.write(bytes);
    else cut(out.reason);
    return out.ok;
  };
  const onRequestEnd = (): void => {
    confirmFin(downstream, () => {
      options.onRequestEnd();
      if (transform === undefined || pass(transform.end())) request.finish();
    });
  };
  // Bytes for a side that is gone keep nothing alive: what still waits for this one is delivered within the idle time, or never.
  const notIdle = (to: Socket): void => {
    if (!to.destroyed) idle.refresh();
  };
  downstream.on('data', (chunk: Buffer) => {
    notIdle(upstream);
    options.onRequest(chunk);
    if (transform === undefined) request.write(chunk);
    else pass(transform.push(chunk));
  });
  upstream.on('data', (chunk: Buffer) => {
    notIdle(downstream);
    options.onAnswer(chunk);
    answer.write(chunk);
  });
  upstream.on('end', () => confirmFin(upstream, () => answer.finish()));
  downstream.on('error', () => request.break());
  upstream.on('error', () => answer.break());
  downstream.on('close', (hadError) => closed(downstream, upstream, hadError, idle));
  upstream.on('close', (hadError) => closed(upstream, downstream, hadError, idle));
  downstream.on('end', onRequestEnd);
  // Resumed before the first bytes are written, so that their backpressure can pause it again.
  downstream.resume();
  for (const bytes of options.first) request.write(bytes);
  if (downstream.readableEnded) onRequestEnd();
}

/** A side that was destroyed before it had ended takes the other with it; one that failed has told its pump. */
function closed(side: Socket, other: Socket, hadError: boolean, idle: NodeJS.Timeout): void {
  if (other.destroyed) clearTimeout(idle);
  else if (!hadError && !side.readableEnded) reset(other);
}
