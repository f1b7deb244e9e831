/**
 * A byte ring in shared memory that carries packets to inspect from a worker thread (one writer) to the main thread (one reader).
 * Nothing blocks, and writing posts nothing (linux/engine-worker.ts asks now and then whether the reader should come): a full ring leaves the packet out and counts it.
 *
 * Layout: i32 written, i32 taken (byte counts, wrapping at 2^32), i32 left out full, i32 left out too large, then CAPACITY bytes of
 * records, 8-byte aligned: u32 size, u32 payload bytes, source (source-record.ts), payload. A record that would cross the end starts at the
 * beginning, and WRAP stands in its place; so does the first of an empty ring, so that one that is seldom full stays small in memory.
 */
import type { FrameSource } from '../ring/source.ts';
import type { Lane } from './inspection-queue.ts';
import { readSource, SOURCE_MAX_BYTES, sourceBytes, writeSource } from './source-record.ts';

/**
 * Room for more than a second of a busy member's packets; a power of two, so that positions wrap evenly. More would only be older when it is
 * read, and a hundred fences of which each is told more than inspection can read would fill it all.
 */
export const RING_CAPACITY_BYTES = 256 * 1024;

const WRITTEN = 0;
const TAKEN = 1;
const LEFT_FULL = 2;
const LEFT_LARGE = 3;
const HEADER_BYTES = 16;
/** Where the source stands in a record. */
const SOURCE_AT = 8;
const WRAP = 0xffff_ffff;
/** Half of the ring: a larger record could wait for room that two others never leave together. */
const RECORD_MAX_BYTES = RING_CAPACITY_BYTES / 2;

/** What may wait for the reader's next look by itself. The rest has room for what a busy member sends until the reader can come. */
const PATIENT_BYTES = (RING_CAPACITY_BYTES / 8) * 3;

/** An empty ring begins anew once this much of it was used: a page. */
const RESTART_BYTES = 4 * 1024;

/** What stands around the bytes of a packet at most, a multiple of 8. */
const AROUND_MAX_BYTES = (SOURCE_AT + SOURCE_MAX_BYTES + 7) & ~7;

/** Bytes of the buffer that a ring lives in. */
export const RING_BYTES = HEADER_BYTES + RING_CAPACITY_BYTES;

/** Up to so many bytes are copied one by one: making a view for `set`, and calling it, costs more. */
const COPY_MAX_BYTES = 512;

interface Parts {
  readonly words: Int32Array;
  readonly block: Buffer;
  /** The block again, for what is aligned. */
  readonly numbers: Uint32Array;
}

function partsOf(buffer: ArrayBufferLike): Parts {
  if (buffer.byteLength !== RING_BYTES) throw new RangeError(`an inspection ring has ${RING_BYTES} bytes`);
  return {
    words: new Int32Array(buffer, 0, 4),
    block: Buffer.from(buffer, HEADER_BYTES),
    numbers: new Uint32Array(buffer, HEADER_BYTES),
  };
}

const place = (position: number): number => position & (RING_CAPACITY_BYTES - 1);

/** The writer's end; one for a buffer, in one thread. */
export interface RingWriter {
  /** Whether a packet of so many bytes has room, whatever stands around it; counted when not. */
  room(bytes: number): boolean;
  /** Copies the packet from `at` to `end` of `memory` in, or counts it as left out. */
  write(source: FrameSource, memory: Uint8Array, at: number, end: number): boolean;
  /** Whether something waits to be read. */
  waiting(): boolean;
  /** Whether so much waits that the reader should come soon. */
  isFilling(): boolean;
}

export function createRingWriter(buffer: ArrayBufferLike): RingWriter {
  const { words, block, numbers } = partsOf(buffer);
  /** Only this thread writes the counts, and nothing waits for them: a locked addition would cost more than all else of a full ring. */
  const leaveOut = (count: number): -1 => {
    words[count] = ((words[count] ?? 0) + 1) | 0;
    return -1;
  };
  const usedBytes = (): number => ((words[WRITTEN] ?? 0) - Atomics.load(words, TAKEN)) >>> 0;
  /** Bytes that are left unused before a record of `size`; -1 when it does not fit, which is counted. */
  const skipFor = (size: number): number => {
    if (size > RECORD_MAX_BYTES) return leaveOut(LEFT_LARGE);
    // Only this thread writes it.
    const written = words[WRITTEN] ?? 0;
    const used = usedBytes();
    const at = place(written);
    const restarts = used === 0 && at >= RESTART_BYTES && at >= size;
    const skip = restarts || RING_CAPACITY_BYTES - at < size ? RING_CAPACITY_BYTES - at : 0;
    return used + skip + size <= RING_CAPACITY_BYTES ? skip : leaveOut(LEFT_FULL);
  };
  const write = (source: FrameSource, memory: Uint8Array, from: number, end: number): boolean => {
    const bytes = end - from;
    const size = (SOURCE_AT + sourceBytes(source) + bytes + 7) & ~7;
    const skip = skipFor(size);
    if (skip < 0) return false;
    let written = words[WRITTEN] ?? 0;
    if (skip > 0) {
      numbers[place(written) / 4] = WRAP;
      written += skip;
    }
    const at = place(written);
    numbers[at / 4] = size;
    numbers[at / 4 + 1] = bytes;
    const to = writeSource(block, at + SOURCE_AT, source);
    if (bytes > COPY_MAX_BYTES) block.set(memory.subarray(from, end), to);
    else for (let i = 0; i < bytes; i++) block[to + i] = memory[from + i] as number;
    Atomics.store(words, WRITTEN, (written + size) | 0);
    return true;
  };
  return {
    room: (bytes) => skipFor(((bytes + 7) & ~7) + AROUND_MAX_BYTES) >= 0,
    write,
    waiting: () => usedBytes() > 0,
    isFilling: () => usedBytes() > PATIENT_BYTES,
  };
}

/** The reader's end; one for a buffer, in one thread. What it takes is copied out. */
export function createRingLane(buffer: ArrayBufferLike): Lane {
  const { words, block, numbers } = partsOf(buffer);
  return {
    // Asked of every lane all the time: a plain read, which may be a look behind. Who takes asks in order.
    waiting: () => words[WRITTEN] !== words[TAKEN],
    take() {
      if (Atomics.load(words, WRITTEN) === words[TAKEN]) return undefined;
      let taken = words[TAKEN] ?? 0;
      if (numbers[place(taken) / 4] === WRAP) taken += RING_CAPACITY_BYTES - place(taken);
      const at = place(taken);
      const { source, end } = readSource(block, at + SOURCE_AT);
      const bytes = Buffer.from(block.subarray(end, end + (numbers[at / 4 + 1] as number)));
      Atomics.store(words, TAKEN, (taken + (numbers[at / 4] as number)) | 0);
      return { type: 'packet', source, bytes };
    },
    skipped: () => ({
      queue_full: Atomics.load(words, LEFT_FULL) >>> 0,
      frame_too_large: Atomics.load(words, LEFT_LARGE) >>> 0,
    }),
  };
}
