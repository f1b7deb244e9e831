/**
 * Two sockets joined: bytes both ways with backpressure, a FIN passed on as a FIN once everything before it is written, an error or a
 * reset passed on as a reset. The difference matters: a dskit reader delivers whatever a FIN ended (tcp_transport.go
 * `handleConnection`), so an exchange that broke off must never look complete.
 *
 * In the sockets a half-close must leave the other half open (`allowHalfOpen: true`). At most a high-water mark of each socket (64 KiB) is held in each direction.
 */
import type { RejectReason } from '../policy/reason.ts';
import type { FlowOf, FlowSink } from './flow.ts';
import type { StreamSocket } from './socket.ts';
import type { Timer, Timers } from './timers.ts';

export interface RelayOptions {
  /** The dialler's side. It may be paused, and may have ended already. */
  readonly downstream: StreamSocket;
  /** The side that was dialled; it may still be connecting. */
  readonly upstream: StreamSocket;
  /** All of the first bytes are with the kernel. */
  onFirstWritten(): void;
  /** What the dialler's further bytes go through, and the answer's. */
  readonly request: FlowOf;
  readonly answer: FlowOf;
  readonly timers: Timers;
  /** After this long without a byte either way both sides are reset. */
  readonly idleTimeoutMs: number;
  /** Bytes as they arrive, before they go on. */
  onRequest(chunk: Uint8Array): void;
  onAnswer(chunk: Uint8Array): void;
  /** The same bytes once they have gone on, or are held. */
  afterRequest(chunk: Uint8Array): void;
  afterAnswer(chunk: Uint8Array): void;
  /** Whether those may keep the next bytes. Once false, it stays so. */
  keepsRequest(): boolean;
  keepsAnswer(): boolean;
  /** The dialler, or the side that was dialled, ended with a FIN. */
  onRequestEnd(): void;
  onAnswerEnd(): void;
  /** A bound was hit and both sides were reset. */
  onCut(reason: RejectReason): void;
}

const NO_BYTES = Buffer.alloc(0);

/**
 * Resets a connection (RST), and only closes it where it is not yet one. So too while its FIN is on the way: all its bytes are written
 * then, and libuv (uv_tcp_close_reset) would refuse with EINVAL and leave the socket open for good.
 */
export function reset(socket: StreamSocket): void {
  if (socket.destroyed) return;
  const finOnTheWay = socket.writableEnded && !socket.writableFinished;
  if (socket.connecting || finOnTheWay) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * Calls `onFin` if the end that `socket` reported is a FIN. libuv reports a reset as an orderly end when it arrives together with
 * data (uv__stream_io, POLLHUP after a partial read), but the kernel still knows: then writing nothing fails, and the socket
 * gives its 'error' instead. Once our own side has ended nothing can be written, and the end is taken at its word. So is that of a
 * socket whose end is a FIN and nothing else: a raw one, or TLS's (tls-socket.ts), whose peer may be gone by then for good reason.
 */
export function confirmFin(socket: StreamSocket, onFin: () => void): void {
  if (socket.writableEnded || socket.destroyed || socket.endIsFin === true) onFin();
  else {
    socket.write(NO_BYTES, (error) => {
      if (!error) onFin();
    });
  }
}

/**
 * Lets `from` lend its chunks as soon as nobody keeps them. Not where the other side is a socket that keeps what waits to be written, as
 * node's does: it has no `lend` either.
 */
function lendOnce(from: StreamSocket, to: StreamSocket, keeps: () => boolean): () => void {
  let lends = from.lend !== undefined && to.lend !== undefined;
  return () => {
    if (!lends || keeps()) return;
    lends = false;
    from.lend?.();
  };
}

/** One direction. */
class Pump {
  readonly #from: StreamSocket;
  readonly #to: StreamSocket;
  #unwritten = 0;
  #finished = false;
  #broken = false;

  constructor(from: StreamSocket, to: StreamSocket) {
    this.#from = from;
    this.#to = to;
    to.on('drain', () => {
      if (!from.destroyed) from.resume();
    });
  }

  write(chunk: Uint8Array, written?: () => void): void {
    if (chunk.length === 0 || this.#to.destroyed || this.#to.writableEnded) return;
    this.#unwritten++;
    const done = written === undefined ? this.#written : () => this.#afterWrite(written);
    if (!this.#to.write(chunk, done)) this.#from.pause();
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

  /** What a flow may do with this direction. */
  sink(cut: FlowSink['cut']): FlowSink {
    return {
      write: (bytes, written) => this.write(bytes, written),
      finish: () => this.finish(),
      cut,
      pause: () => void this.#from.pause(),
      resume: () => void this.#from.resume(),
    };
  }

  readonly #written = (): void => {
    this.#unwritten--;
    this.#settle();
  };

  #afterWrite(written: () => void): void {
    this.#written();
    written();
  }

  #settle(): void {
    if (this.#to.destroyed || (this.#unwritten > 0 && !(this.#broken && this.#to.connecting))) return;
    if (this.#broken) reset(this.#to);
    else if (this.#finished && !this.#to.writableEnded) this.#to.end();
  }
}

/**
 * Starts passing bytes between the two sockets, until both have closed. The caller listens for that, and for errors. `first` is what was
 * read of the dialler's bytes before, as it is to be sent: already transformed, and counted by the caller; it is not kept.
 */
export function startRelay(first: readonly Uint8Array[], options: RelayOptions): void {
  const { downstream, upstream, idleTimeoutMs } = options;
  const request = new Pump(downstream, upstream);
  const answer = new Pump(upstream, downstream);
  const cut = (reason: RejectReason): void => {
    if (downstream.destroyed && upstream.destroyed) return;
    reset(upstream);
    reset(downstream);
    options.onCut(reason);
  };
  const idle = options.timers.set(idleTimeoutMs, () => cut('idle_timeout'));
  const requestFlow = options.request(request.sink(cut));
  const answerFlow = options.answer(answer.sink(cut));
  const lendRequest = lendOnce(downstream, upstream, () => requestFlow.keeps() || options.keepsRequest());
  const lendAnswer = lendOnce(upstream, downstream, () => answerFlow.keeps() || options.keepsAnswer());
  const onRequestEnd = (): void => {
    confirmFin(downstream, () => {
      options.onRequestEnd();
      requestFlow.end();
    });
  };
  const onAnswerEnd = (): void => {
    confirmFin(upstream, () => {
      answerFlow.end();
      options.onAnswerEnd();
    });
  };
  // Bytes for a side that is gone keep nothing alive: what still waits for this one is delivered within the idle time, or never.
  const notIdle = (to: StreamSocket): void => {
    if (!to.destroyed) idle.refresh();
  };
  downstream.on('data', (chunk: Buffer) => {
    notIdle(upstream);
    options.onRequest(chunk);
    requestFlow.push(chunk);
    options.afterRequest(chunk);
    lendRequest();
  });
  upstream.on('data', (chunk: Buffer) => {
    notIdle(downstream);
    options.onAnswer(chunk);
    answerFlow.push(chunk);
    options.afterAnswer(chunk);
    lendAnswer();
  });
  upstream.on('end', onAnswerEnd);
  downstream.on('error', () => request.break());
  upstream.on('error', () => answer.break());
  downstream.on('close', (hadError) => closed(downstream, upstream, hadError, idle));
  upstream.on('close', (hadError) => closed(upstream, downstream, hadError, idle));
  downstream.on('end', onRequestEnd);
  // Resumed before the first bytes are written, so that their backpressure can pause it again.
  downstream.resume();
  const last = first.at(-1);
  for (const bytes of first) request.write(bytes, bytes === last ? () => options.onFirstWritten() : undefined);
  if (downstream.readableEnded) onRequestEnd();
}

/** A side that was destroyed before it had ended takes the other with it; one that failed has told its pump. */
function closed(side: StreamSocket, other: StreamSocket, hadError: boolean, idle: Timer): void {
  if (other.destroyed) idle.clear();
  else if (!hadError && !side.readableEnded) reset(other);
}
