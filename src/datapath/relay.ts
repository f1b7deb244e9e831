/**
 * Two sockets joined: bytes both ways with backpressure, a FIN passed on as a FIN once everything before it is written, an error or a
 * reset passed on as a reset. The difference matters: a dskit reader delivers whatever a FIN ended (tcp_transport.go
 * `handleConnection`), so an exchange that broke off must never look complete.
 *
 * In the sockets a half-close must leave the other half open (`allowHalfOpen: true`). In each direction less than a high-water mark of the
 * socket written to (64 KiB) is held, and what one more read brings: 64 KiB of node's sockets, 256 KiB of raw ones. Bulk between raw ones that
 * nobody looks at waits in the kernel instead, in a pipe of 1 MiB at most (linux/raw-splice.ts).
 */
import type { RejectReason } from '../policy/reason.ts';
import { confirmFin, reset } from './endings.ts';
import type { Flow, FlowOf } from './flow.ts';
import { Pump } from './pump.ts';
import type { SocketOwner, StreamSocket } from './socket.ts';
import type { Timer, Timers } from './timers.ts';

/** Whose bytes are relayed: what they go through, and who is told. */
export interface Relayed {
  /** The dialler's side. It may be paused, and may have ended already. */
  readonly downstream: StreamSocket;
  /** The side that was dialled; it may still be connecting. */
  readonly upstream: StreamSocket;
  /** The dialler has ended, by a FIN or whole: that is certain, and needs no confirmation. */
  readonly requestEnded: boolean;
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
  /** Whether those look at the next bytes at all. Once false, it stays so, and of bytes that go on as they are only the count may be told. */
  looksAtRequest(): boolean;
  looksAtAnswer(): boolean;
  /** So many bytes went on, either way, without being given to the above. */
  onPassed(bytes: number): void;
  /** The dialler, or the side that was dialled, ended with a FIN. */
  onRequestEnd(): void;
  onAnswerEnd(): void;
  /** A bound was hit and both sides were reset. */
  onCut(reason: RejectReason): void;
}

/**
 * Starts passing bytes between the two sockets, until both have closed. The caller listens for that; the result is to be told of both sockets' events. `first` is what was
 * read of the dialler's bytes before, as it is to be sent: already transformed, and counted by the caller; it is not kept.
 */
export function startRelay(first: readonly Uint8Array[], relayed: Relayed): SocketOwner {
  const relay = new Relay(relayed);
  relay.start(first);
  return relay;
}

class Relay implements SocketOwner {
  readonly #relayed: Relayed;
  readonly #downstream: StreamSocket;
  readonly #request: Pump;
  readonly #answer: Pump;
  readonly #requestFlow: Flow;
  readonly #answerFlow: Flow;
  readonly #idle: Timer;

  constructor(relayed: Relayed) {
    const { downstream, upstream } = relayed;
    this.#relayed = relayed;
    this.#downstream = downstream;
    this.#request = new Pump(downstream, upstream, this);
    this.#answer = new Pump(upstream, downstream, this);
    this.#idle = relayed.timers.set(relayed.idleTimeoutMs, () => this.cut('idle_timeout'));
    this.#requestFlow = relayed.request(this.#request);
    this.#answerFlow = relayed.answer(this.#answer);
  }

  start(first: readonly Uint8Array[]): void {
    const { downstream } = this.#relayed;
    // Resumed before the first bytes are written, so that their backpressure can pause it again.
    downstream.resume();
    this.#writeFirst(first);
    this.#easeRequest();
    if (this.#relayed.requestEnded) this.#endRequest();
    else if (downstream.readableEnded) this.#onRequestEnd();
  }

  onData(socket: StreamSocket, chunk: Buffer): void {
    if (socket === this.#downstream) this.#onRequest(chunk);
    else this.#onAnswer(chunk);
  }

  onEnd(socket: StreamSocket): void {
    if (socket === this.#downstream) this.#onRequestEnd();
    else confirmFin(socket, () => this.#endAnswer());
  }

  onDrain(socket: StreamSocket): void {
    if (socket === this.#downstream) this.#answer.drained();
    else this.#request.drained();
  }

  onConnect(): void {}

  onError(socket: StreamSocket): void {
    if (socket === this.#downstream) this.#request.break();
    else this.#answer.break();
  }

  /** A side that was destroyed before it had ended takes the other with it; one that failed has told its pump. */
  onClose(socket: StreamSocket, hadError: boolean): void {
    const { downstream, upstream } = this.#relayed;
    const other = socket === downstream ? upstream : downstream;
    if (other.destroyed) this.#idle.clear();
    else if (!hadError && !socket.readableEnded) reset(other);
  }

  #writeFirst(first: readonly Uint8Array[]): void {
    const last = first.at(-1);
    for (const bytes of first) {
      this.#request.write(bytes, bytes === last ? () => this.#relayed.onFirstWritten() : undefined);
    }
  }

  #onRequest(chunk: Buffer): void {
    const relayed = this.#relayed;
    this.#notIdle(relayed.upstream);
    relayed.onRequest(chunk);
    this.#requestFlow.push(chunk);
    relayed.afterRequest(chunk);
    this.#easeRequest();
  }

  /** Lends the dialler's bytes, or lets them go unseen, as soon as nobody keeps them, or looks at them. */
  #easeRequest(): void {
    const relayed = this.#relayed;
    if (this.#request.mayLend) this.#request.lendUnless(this.#requestFlow.keeps() || relayed.keepsRequest());
    if (this.#request.mayPass && this.#requestFlow.passes() && !relayed.looksAtRequest())
      this.#request.pass(this.#passed);
  }

  #onAnswer(chunk: Buffer): void {
    const relayed = this.#relayed;
    this.#notIdle(relayed.downstream);
    relayed.onAnswer(chunk);
    this.#answerFlow.push(chunk);
    relayed.afterAnswer(chunk);
    if (this.#answer.mayLend) this.#answer.lendUnless(this.#answerFlow.keeps() || relayed.keepsAnswer());
    if (this.#answer.mayPass && this.#answerFlow.passes() && !relayed.looksAtAnswer()) this.#answer.pass(this.#passed);
  }

  readonly #passed = (bytes: number): void => {
    this.#idle.refresh();
    this.#relayed.onPassed(bytes);
  };

  #onRequestEnd(): void {
    confirmFin(this.#relayed.downstream, () => this.#endRequest());
  }

  #endRequest(): void {
    this.#relayed.onRequestEnd();
    this.#requestFlow.end();
  }

  #endAnswer(): void {
    this.#answerFlow.end();
    this.#relayed.onAnswerEnd();
  }

  /** Bytes for a side that is gone keep nothing alive: what still waits for this one is delivered within the idle time, or never. */
  #notIdle(to: StreamSocket): void {
    if (!to.destroyed) this.#idle.refresh();
  }

  cut(reason: RejectReason): void {
    const { downstream, upstream } = this.#relayed;
    if (downstream.destroyed && upstream.destroyed) return;
    reset(upstream);
    reset(downstream);
    this.#relayed.onCut(reason);
  }
}
