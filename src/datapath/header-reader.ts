/** Reading the start of a stream that must be judged before anything of it is passed on. */
import { decodeStreamHeader, type StreamHeader } from '../wire/stream-header.ts';
import type { TransportSetting } from '../wire/transport.ts';
import { IdleOwner, type StreamSocket } from './socket.ts';
import type { Timer, Timers } from './timers.ts';

/** Who wants the header; exactly one of these is called, once. */
export interface HeaderTaker {
  /** The header is known. `head` is everything read so far; the socket is paused and belongs to the caller again. */
  headerRead(header: StreamHeader, head: Buffer): void;
  /** The dialler closed or reset the connection; with a header if it had sent anything. The socket is closed or closing. */
  headerGone(header: StreamHeader | undefined, head: Buffer): void;
  /** Time is up; `head` may be empty. The socket is paused and belongs to the caller again. */
  headerLate(head: Buffer): void;
}

const NO_BYTES = Buffer.alloc(0);

/** Reads until the header is known; to be told of the socket's events from `start` on. Holds STREAM_HEADER_MAX_BYTES and one chunk. */
export class HeaderReader extends IdleOwner {
  readonly #transport: TransportSetting;
  readonly #taker: HeaderTaker;
  #head: Buffer = NO_BYTES;
  #timer: Timer | undefined;
  #reads = true;

  constructor(transport: TransportSetting, taker: HeaderTaker) {
    super();
    this.#transport = transport;
    this.#taker = taker;
  }

  start(socket: StreamSocket, timers: Timers, timeoutMs: number): void {
    this.#timer = timers.set(timeoutMs, () => {
      this.#stop(socket);
      this.#taker.headerLate(this.#head);
    });
    socket.resume();
  }

  override onData(socket: StreamSocket, chunk: Buffer): void {
    if (!this.#reads) return;
    this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    const header = this.#decode(false);
    if (header === undefined) return;
    this.#stop(socket);
    this.#taker.headerRead(header, this.#head);
  }

  override onEnd(socket: StreamSocket): void {
    if (!this.#reads) return;
    this.#stop(socket);
    const header = this.#decode(true);
    if (header !== undefined) this.#taker.headerRead(header, this.#head);
    else {
      socket.destroy();
      this.#taker.headerGone(undefined, this.#head);
    }
  }

  override onClose(socket: StreamSocket): void {
    if (!this.#reads) return;
    this.#stop(socket);
    this.#taker.headerGone(this.#decode(true), this.#head);
  }

  #decode(ended: boolean): StreamHeader | undefined {
    const state = decodeStreamHeader(this.#head, ended, this.#transport);
    return state.done ? state.header : undefined;
  }

  #stop(socket: StreamSocket): void {
    this.#reads = false;
    this.#timer?.clear();
    socket.pause();
  }
}

/**
 * Reads the header of a stream that flows meanwhile: to be given every chunk, and `ended` when no more will come. Calls `onHeader` once,
 * with everything read so far. Holds STREAM_HEADER_MAX_BYTES and one chunk.
 */
export function createHeaderTap(
  transport: TransportSetting,
  onHeader: (header: StreamHeader, head: Buffer) => void,
): (chunk: Uint8Array, ended: boolean) => void {
  let head: Buffer | undefined = NO_BYTES;
  return (chunk, ended) => {
    if (head === undefined) return;
    head = Buffer.concat([head, chunk]);
    const state = decodeStreamHeader(head, ended, transport);
    if (!state.done) return;
    const all = head;
    head = undefined;
    onHeader(state.header, all);
  };
}

/** Whether there is a message that can be read: not in TLS, and not behind a header that is none. */
export function hasMessage({ transport, malformed }: StreamHeader): boolean {
  return malformed === undefined && transport !== 'tls' && transport !== 'unknown';
}
