/** Reading the start of a stream that must be judged before anything of it is passed on. */
import { decodeStreamHeader, type StreamHeader } from '../wire/stream-header.ts';
import type { TransportSetting } from '../wire/transport.ts';
import type { StreamSocket } from './socket.ts';
import type { Timers } from './timers.ts';

export interface HeaderReaderOptions {
  readonly transport: TransportSetting;
  readonly timers: Timers;
  readonly timeoutMs: number;
  /** The header is known. `head` is everything read so far; the socket is paused and belongs to the caller again. */
  onHeader(header: StreamHeader, head: Buffer): void;
  /** The dialler closed or reset the connection; with a header if it had sent anything. The socket is closed or closing. */
  onGone(header: StreamHeader | undefined, head: Buffer): void;
  /** Time is up; `head` may be empty. The socket is paused and belongs to the caller again. */
  onTimeout(head: Buffer): void;
}

const NO_BYTES = Buffer.alloc(0);

/** Reads until the header is known, and calls exactly one of the options' callbacks. Holds STREAM_HEADER_MAX_BYTES and one chunk. */
export function readHeader(socket: StreamSocket, options: HeaderReaderOptions): void {
  let head: Buffer = NO_BYTES;
  const decode = (ended: boolean): StreamHeader | undefined => {
    const state = decodeStreamHeader(head, ended, options.transport);
    return state.done ? state.header : undefined;
  };
  const stop = (): void => {
    timer.clear();
    socket.off('data', onData).off('end', onEnd).off('close', onClose);
    socket.pause();
  };
  const onData = (chunk: Buffer): void => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const header = decode(false);
    if (header === undefined) return;
    stop();
    options.onHeader(header, head);
  };
  const onEnd = (): void => {
    stop();
    const header = decode(true);
    if (header !== undefined) options.onHeader(header, head);
    else {
      socket.destroy();
      options.onGone(undefined, head);
    }
  };
  const onClose = (): void => {
    stop();
    options.onGone(decode(true), head);
  };
  const timer = options.timers.set(options.timeoutMs, () => {
    stop();
    options.onTimeout(head);
  });
  socket.on('data', onData).on('end', onEnd).on('close', onClose);
  socket.resume();
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
