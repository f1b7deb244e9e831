/**
 * Memory for recvmmsg and sendmmsg, one of each for a thread: whoever receives or sends is done with it before the loop goes on.
 * Everything is told by its place in one block, so that a datagram costs no object (layouts: datagram-memory.ts).
 */
import {
  type Block,
  CONTROL_BYTES,
  createBlock,
  IOVEC_BYTES,
  linkHeaders,
  MMSGHDR_BYTES,
  NAME_BYTES,
} from './datagram-memory.ts';
import { SOCKADDR_MAX_BYTES } from './sockaddr.ts';
import type { Syscalls } from './syscalls.ts';

/** Datagrams that one call takes at most: more cost no less each, and touch more of the cache and of memory under flood. */
export const BATCH = 64;

/** Room before each payload that is received: for the longest label header (257 bytes) and, before that, IPv6, fragment and UDP headers. */
export const HEADROOM_BYTES = 320;

/** No UDP payload is longer, so nothing is ever cut off. */
const PAYLOAD_BYTES = 65_536;
/** From one payload to the next: not a power of two, or all of them would share a few lines of the processor's cache. */
const PAYLOAD_STRIDE_BYTES = HEADROOM_BYTES + PAYLOAD_BYTES + 128;

const WORD_BYTES = 4;
const HEADER_WORDS = MMSGHDR_BYTES / WORD_BYTES;
const IOVEC_WORDS = IOVEC_BYTES / WORD_BYTES;
const NAMELEN_WORD = 2;
const CONTROLLEN_WORD = 10;
const LENGTH_WORD = 14;
const TWO_TO_32 = 4_294_967_296;

/** What the last receive took, by the datagram's number in it; good until the next one. */
export interface ReceiveBatch extends Block {
  /** How many datagrams one call takes at most. */
  readonly size: number;
  /** Receives without blocking; returns how many there were, or -1 (see errno). `control`: whether control messages are wanted. */
  receive(fd: number, control: boolean): number;
  /** The offset in `memory` of the sockaddr of who sent datagram `i`; a multiple of 4. */
  nameAt(i: number): number;
  /** The offset of its payload. HEADROOM_BYTES before it, and all of PAYLOAD_BYTES after it, are the reader's to write to. */
  payloadAt(i: number): number;
  lengthOf(i: number): number;
  /** The offset of its control messages, and how many bytes they have. */
  controlAt(i: number): number;
  controlLength(i: number): number;
}

export function createReceiveBatch(calls: Syscalls, size = BATCH): ReceiveBatch {
  const iovAt = size * MMSGHDR_BYTES;
  const namesAt = iovAt + size * IOVEC_BYTES;
  const controlsAt = namesAt + size * NAME_BYTES;
  const payloadsAt = controlsAt + size * CONTROL_BYTES + HEADROOM_BYTES;
  const block = createBlock(calls, payloadsAt + size * PAYLOAD_STRIDE_BYTES);
  const { memory, words, base } = block;
  linkHeaders(block, size, iovAt, namesAt, controlsAt);
  for (let i = 0; i < size; i++) {
    memory.writeBigUInt64LE(BigInt(base + payloadsAt + i * PAYLOAD_STRIDE_BYTES), iovAt + i * IOVEC_BYTES);
    memory.writeBigUInt64LE(BigInt(PAYLOAD_BYTES), iovAt + i * IOVEC_BYTES + 8);
  }
  let used = size;
  let controlled = false;
  return {
    ...block,
    size,
    receive(fd, control) {
      // The kernel overwrites these lengths, so they are set again before every call.
      const stale = control === controlled ? used : size;
      controlled = control;
      for (let i = 0; i < stale; i++) {
        words[i * HEADER_WORDS + NAMELEN_WORD] = SOCKADDR_MAX_BYTES;
        words[i * HEADER_WORDS + CONTROLLEN_WORD] = control ? CONTROL_BYTES : 0;
      }
      const count = calls.streams.recvmmsg(fd, base, size);
      used = count < 0 ? 0 : count;
      return count;
    },
    nameAt: (i) => namesAt + i * NAME_BYTES,
    payloadAt: (i) => payloadsAt + i * PAYLOAD_STRIDE_BYTES,
    lengthOf: (i) => words[i * HEADER_WORDS + LENGTH_WORD] as number,
    controlAt: (i) => controlsAt + i * CONTROL_BYTES,
    controlLength: (i) => words[i * HEADER_WORDS + CONTROLLEN_WORD] as number,
  };
}

/** Who is told of what the kernel did not take. */
export interface Refused {
  /** `count` datagrams of this batch, from number `first` on, were not sent, because of `errno`. */
  onRefused(errno: string, first: number, count: number): void;
  /** An error of something sent before was told instead of sending, and is gone; what it came instead of was sent after all. */
  onLateError(): void;
}

/** Datagrams that are to leave one socket, in their order. */
export interface SendBatch {
  readonly size: number;
  /** Added since the last flush. */
  readonly count: number;
  /** Adds `length` bytes at `at` of the receive batch's memory, to stay as they are until the flush. Only while `count` is below `size`. */
  add(at: number, length: number): void;
  /** Where the one that was added last goes to: `nameBytes` of a sockaddr in `words` from index `at` on. A connected socket needs none. */
  to(words: Int32Array, at: number, nameBytes: number): void;
  /** Gives the one that was added last `bytes` of control messages: the first of `words`. */
  control(words: Int32Array, bytes: number): void;
  /** Sends what was added, and forgets it. Returns how many the kernel took; `refused` is told of the others. Never blocks. */
  flush(fd: number, refused: Refused): number;
  /** As `add` and `flush` while nothing is added, from a connected socket; by send, which is a little cheaper. */
  sendOne(fd: number, at: number, length: number, refused: Refused): number;
}

/** Errors after which trying the next datagram is in vain. */
const FULL: ReadonlySet<string> = new Set(['EAGAIN', 'ENOBUFS', 'ENOMEM']);
/** What a connected socket says once, instead of sending, of what was sent before. */
const LATE = 'ECONNREFUSED';

/** `base`: the address of the memory that is sent from. */
export function createSendBatch(calls: Syscalls, base: number, size = BATCH): SendBatch {
  return new Sends(calls, base, size);
}

class Sends implements SendBatch {
  readonly size: number;
  count = 0;
  readonly #calls: Syscalls;
  /** Halves of the address that is sent from: what is passed between functions stays a small integer, which costs no memory. */
  readonly #baseLow: number;
  readonly #baseHigh: number;
  readonly #block: Block;
  readonly #words: Int32Array;
  readonly #iovWord: number;
  readonly #nameWord: number;
  readonly #controlWord: number;

  constructor(calls: Syscalls, base: number, size: number) {
    this.size = size;
    this.#calls = calls;
    this.#baseLow = base % TWO_TO_32;
    this.#baseHigh = Math.floor(base / TWO_TO_32);
    const iovAt = size * MMSGHDR_BYTES;
    const namesAt = iovAt + size * IOVEC_BYTES;
    const controlsAt = namesAt + size * NAME_BYTES;
    this.#block = createBlock(calls, controlsAt + size * CONTROL_BYTES);
    this.#words = this.#block.words;
    linkHeaders(this.#block, size, iovAt, namesAt, controlsAt);
    this.#iovWord = iovAt / WORD_BYTES;
    this.#nameWord = namesAt / WORD_BYTES;
    this.#controlWord = controlsAt / WORD_BYTES;
  }

  add(at: number, length: number): void {
    const words = this.#words;
    const i = this.count++;
    const iov = this.#iovWord + i * IOVEC_WORDS;
    const low = this.#baseLow + at;
    words[iov] = low | 0;
    words[iov + 1] = low < TWO_TO_32 ? this.#baseHigh : this.#baseHigh + 1;
    words[iov + 2] = length;
    words[i * HEADER_WORDS + NAMELEN_WORD] = 0;
    words[i * HEADER_WORDS + CONTROLLEN_WORD] = 0;
  }

  to(words: Int32Array, at: number, nameBytes: number): void {
    const i = this.count - 1;
    const name = this.#nameWord + (i * NAME_BYTES) / WORD_BYTES;
    for (let k = 0; k * WORD_BYTES < nameBytes; k++) this.#words[name + k] = words[at + k] as number;
    this.#words[i * HEADER_WORDS + NAMELEN_WORD] = nameBytes;
  }

  control(words: Int32Array, bytes: number): void {
    const i = this.count - 1;
    const control = this.#controlWord + (i * CONTROL_BYTES) / WORD_BYTES;
    for (let k = 0; k * WORD_BYTES < bytes; k++) this.#words[control + k] = words[k] as number;
    this.#words[i * HEADER_WORDS + CONTROLLEN_WORD] = bytes;
  }

  flush(fd: number, refused: Refused): number {
    const { count } = this;
    this.count = 0;
    return count === 0 ? 0 : this.#carryOn(fd, count, this.#send(fd, 0, count), refused);
  }

  sendOne(fd: number, at: number, length: number, refused: Refused): number {
    const from = this.#baseHigh * TWO_TO_32 + this.#baseLow + at;
    if (this.#calls.streams.send(fd, from, length) >= 0) return 1;
    this.add(at, length);
    this.count = 0;
    return this.#carryOn(fd, 1, -1, refused);
  }

  /** The rest of a flush of `count` whose first call took `first`; below 0: it failed. */
  #carryOn(fd: number, count: number, first: number, refused: Refused): number {
    let took = first;
    let sent = 0;
    let at = 0;
    // The datagram before which the kernel stopped: the next call says why, or takes it.
    let stoppedAt = -1;
    let retriedAt = -1;
    while (true) {
      if (took > 0) {
        if (at === stoppedAt) refused.onLateError();
        sent += took;
        at += took;
        stoppedAt = at;
      } else {
        const errno = this.#calls.errno();
        stoppedAt = -1;
        if (errno === LATE && retriedAt !== at) {
          retriedAt = at;
          refused.onLateError();
        } else {
          const lost = FULL.has(errno) ? count - at : 1;
          refused.onRefused(errno, at, lost);
          at += lost;
        }
      }
      if (at >= count) return sent;
      took = this.#send(fd, at, count - at);
    }
  }

  #send(fd: number, at: number, count: number): number {
    return this.#calls.streams.sendmmsg(fd, this.#block.base + at * MMSGHDR_BYTES, count);
  }
}

/** What the packet paths of one thread share. */
export interface DatagramBatches {
  readonly received: ReceiveBatch;
  readonly sends: SendBatch;
}

export function createDatagramBatches(calls: Syscalls, size = BATCH): DatagramBatches {
  const received = createReceiveBatch(calls, size);
  return { received, sends: createSendBatch(calls, received.base, size) };
}
