/** What the kernel did not take yet of a raw socket's writes, in order, and who wants to know when it has. */
import type { StreamCalls } from './stream-calls.ts';

/** Small pieces are put together for one call, up to this many bytes. */
const GATHER_BYTES = 64 * 1024;

export type Written = (error?: Error | null) => void;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly written: Written | undefined;
}

/** Room to put small pieces together in; one serves all sockets of a thread. */
export function createGatherRoom(): Buffer {
  return Buffer.from(new ArrayBuffer(GATHER_BYTES));
}

export class WriteQueue {
  #waiting: Waiting[] = [];
  /** Bytes of the first one that are with the kernel. */
  #sent = 0;
  /** Bytes that wait. */
  bytes = 0;
  /** Bytes that the last call offered: where the kernel took fewer, it has no room. */
  offered = 0;

  isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** `bytes` must not change until they are written. */
  push(bytes: Uint8Array, written: Written | undefined): void {
    this.#waiting.push({ bytes, written });
    this.bytes += bytes.length;
  }

  /** One call; what it returns. `last`: a FIN follows everything. */
  send(calls: StreamCalls, fd: number, room: Buffer, last: boolean): number {
    const first = this.#waiting[0];
    if (first === undefined) return 0;
    const rest = this.#sent === 0 ? first.bytes : first.bytes.subarray(this.#sent);
    if (this.#waiting.length === 1 || rest.length >= room.length) {
      this.offered = rest.length;
      return calls.sendBytes(fd, rest, last && this.#waiting.length === 1);
    }
    let length = 0;
    let pieces = 0;
    for (const { bytes } of this.#waiting) {
      const piece = pieces === 0 ? rest : bytes;
      if (length + piece.length > room.length) break;
      room.set(piece, length);
      length += piece.length;
      pieces++;
    }
    this.offered = length;
    return calls.sendBytes(fd, room.subarray(0, length), last && pieces === this.#waiting.length);
  }

  /** The kernel took `count` bytes more: tells whose are all written, each after the queue has let go of it. */
  took(count: number): void {
    this.bytes -= count;
    this.#sent += count;
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined || this.#sent < first.bytes.length) return;
      this.#sent -= first.bytes.length;
      this.#waiting.shift();
      first.written?.();
    }
  }

  /** Forgets everything and tells whose it was. */
  fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#sent = 0;
    this.bytes = 0;
    for (const { written } of waiting) written?.(error);
  }
}
