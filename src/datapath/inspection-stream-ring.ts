/**
 * A byte ring in shared memory that carries streams to inspect from a worker thread (inspection-stream-writer.ts) to the main thread
 * (inspection-stream-lane.ts), one of each. Nothing blocks and nothing is posted: a stream whose bytes find no room is told as cut from there on and counted, never as complete.
 *
 * Layout: i32 written, i32 taken (byte counts, wrapping at 2^32), i32 left out: no room to open, no place, cut short, 11 unused; a slot (i32)
 * for each stream: FREE, OPEN, SATISFIED; then the records, 16-byte aligned: u32 size, u8 type, u8 unused, u16 slot, u32 payload bytes, u32
 * unused, payload. A record that would cross the end starts at the beginning, and WRAP stands in its place. Every open stream has the
 * room of its end kept free, and a slot is not used again before the reader has met that end.
 */
import { INSPECTED_STREAMS_MAX } from './inspection-places.ts';

/**
 * Room for records; powers of two. The member table of ten thousand fits whole, arriving as fast as it may; what no longer interests the
 * reader is not written. Memory is used only as far as the ring was ever filled.
 */
export const STREAM_RING_OWN_BYTES = 4 * 1024 * 1024;
export const STREAM_RING_REJECTED_BYTES = 1024 * 1024;

export const WRITTEN = 0;
export const TAKEN = 1;
export const LEFT_FULL = 2;
export const LEFT_PLACES = 3;
export const LEFT_CUT = 4;
export const SLOTS_AT = 16;
const HEADER_BYTES = (SLOTS_AT + INSPECTED_STREAMS_MAX) * Int32Array.BYTES_PER_ELEMENT;

export const FREE = 0;
export const OPEN = 1;
export const SATISFIED = 2;

export const OPENS = 0;
export const BYTES = 1;
export const ENDS_WHOLE = 2;
export const ENDS_CUT = 3;

export const RECORD_BYTES = 16;
export const WRAP = 0xffff_ffff;
/** Longer chunks are told in pieces: one piece is inspected in one go. */
export const PIECE_MAX_BYTES = 16 * 1024;

/** A buffer for a ring of `capacity` bytes of records. */
export function createStreamRing(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + capacity);
}

/** The memory of one ring, for either end. */
export class StreamRing {
  readonly words: Int32Array;
  readonly block: Buffer;
  readonly capacity: number;

  constructor(buffer: ArrayBufferLike) {
    this.capacity = buffer.byteLength - HEADER_BYTES;
    if (this.capacity < 4 * PIECE_MAX_BYTES || (this.capacity & (this.capacity - 1)) !== 0) {
      throw new RangeError('the capacity of a stream ring is a power of two of at least 64 KiB');
    }
    this.words = new Int32Array(buffer, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.block = Buffer.from(buffer, HEADER_BYTES);
  }

  place(position: number): number {
    return position & (this.capacity - 1);
  }
}
