/** One direction of a relay (relay.ts): what its flow writes, the ends that follow it, and backpressure. */
import type { RejectReason } from '../policy/reason.ts';
import { reset } from './endings.ts';
import type { FlowSink } from './flow.ts';
import type { StreamSocket } from './socket.ts';

/** One direction, and where its flow writes to. */
export class Pump implements FlowSink {
  readonly #from: StreamSocket;
  readonly #to: StreamSocket;
  readonly #relay: Pick<FlowSink, 'cut'>;
  #unwritten = 0;
  #finished = false;
  #broken = false;
  /** Whether chunks are to be lent some time: not where the other side keeps what waits to be written, as node's sockets do. */
  mayLend: boolean;
  /** Whether bytes are to go on unseen some time. */
  mayPass: boolean;

  constructor(from: StreamSocket, to: StreamSocket, relay: Pick<FlowSink, 'cut'>) {
    this.#from = from;
    this.#to = to;
    this.#relay = relay;
    this.mayLend = from.lend !== undefined && to.lend !== undefined;
    this.mayPass = from.passTo !== undefined;
  }

  cut(reason: RejectReason): void {
    this.#relay.cut(reason);
  }

  /** The other side takes bytes again. */
  drained(): void {
    if (!this.#from.destroyed) this.#from.resume();
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
    if (this.#unwritten > 0) this.#to.endFollows?.();
    this.#settle();
  }

  /** A reset, after what had arrived before it. */
  break(): void {
    this.#broken = true;
    this.#settle();
  }

  pause(): void {
    this.#from.pause();
  }

  resume(): void {
    this.#from.resume();
  }

  /** From now on chunks are lent, unless somebody keeps them. */
  lendUnless(kept: boolean): void {
    if (kept) return;
    this.mayLend = false;
    this.#from.lend?.();
  }

  /** From now on bytes may go on unseen. */
  pass(passed: (bytes: number) => void): void {
    this.mayPass = false;
    this.#from.passTo?.(this.#to, passed);
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
    else if (this.#finished && !this.#to.writableEnded) this.#end();
  }

  /** One close in place of a FIN and a close, where the other way has gone before: its end needs this socket no more. */
  #end(): void {
    const otherWayEnded = this.#to.readableEnded && this.#from.writableEnded;
    if (this.#to.closeIsFin === true && otherWayEnded) this.#to.destroy();
    else this.#to.end();
  }
}
