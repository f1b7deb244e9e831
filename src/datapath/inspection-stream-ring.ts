/**
 * A byte ring in shared memory that carries streams to inspect from a worker thread (one writer) to the main thread (one reader). Nothing
 * blocks and nothing is posted: a stream whose bytes find no room is told as cut from there on and counted, never as complete.
 *
 * Layout: i32 written, i32 taken (byte counts, wrapping at 2^32), i32 left out: no room to open, no place, cut short, 11 unused; a slot (i32)
 * for each stream: FREE, OPEN, SATISFIED; then the records, 16-byte aligned: u32 size, u8 type, u8 unused, u16 slot, u32 payload bytes, u32
 * unused, payload. A record that would cross the end starts at the beginning, and WRAP stands in its place. Every open stream has the
 * room of its end kept free, and a slot is not used again before the reader has met that end.
 */
import type { FrameSource } from '../ring/source.ts';
import type { StreamTap } from './inside.ts';
import { createPlaces, INSPECTED_STREAMS_MAX } from './inspection-places.ts';
import { InspectedStream, type Lane, type Piece } from './inspection-queue.ts';
import { readSource, sourceBytes, writeSource } from './source-record.ts';

/**
 * Room for records; powers of two. The member table of ten thousand fits whole, arriving as fast as it may; what no longer interests the
 * reader is not written. Memory is used only as far as the ring was ever filled.
 */
export const STREAM_RING_OWN_BYTES = 4 * 1024 * 1024;
export const STREAM_RING_REJECTED_BYTES = 1024 * 1024;

const WRITTEN = 0;
const TAKEN = 1;
const LEFT_FULL = 2;
const LEFT_PLACES = 3;
const LEFT_CUT = 4;
const SLOTS_AT = 16;
const HEADER_BYTES = (SLOTS_AT + INSPECTED_STREAMS_MAX) * Int32Array.BYTES_PER_ELEMENT;

const FREE = 0;
const OPEN = 1;
const SATISFIED = 2;

const OPENS = 0;
const BYTES = 1;
const ENDS_WHOLE = 2;
const ENDS_CUT = 3;

const RECORD_BYTES = 16;
const WRAP = 0xffff_ffff;
/** Longer chunks are told in pieces: one piece is inspected in one go. */
const PIECE_MAX_BYTES = 16 * 1024;
/** An empty ring begins anew once this much of it was used, so that what is seldom full stays small in memory. */
const RESTART_BYTES = 64 * 1024;

const aligned = (bytes: number): number => (bytes + RECORD_BYTES - 1) & -RECORD_BYTES;

/** A buffer for a ring of `capacity` bytes of records. */
export function createStreamRing(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + capacity);
}

class Shared {
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

export interface StreamRingWriter {
  /** Opens a tap of one direction of a stream; undefined when there is no place or no room for it, counted. */
  open(source: FrameSource): StreamTap | undefined;
}

/** The writer's end; one for a buffer, in one thread. `streams`: how many may be open at once, INSPECTED_STREAMS_MAX at most. */
export function createStreamRingWriter(buffer: ArrayBufferLike, streams: number): StreamRingWriter {
  return new Writer(new Shared(buffer), streams);
}

class Writer implements StreamRingWriter {
  readonly #shared: Shared;
  readonly #places;
  /** The peer of each slot that is in use, until the reader has freed it. */
  readonly #peers: (string | undefined)[];
  /** Streams whose end is not written yet. */
  #open = 0;

  constructor(shared: Shared, streams: number) {
    this.#shared = shared;
    this.#places = createPlaces(streams);
    this.#peers = new Array<string | undefined>(streams).fill(undefined);
  }

  open(source: FrameSource): StreamTap | undefined {
    const { address } = source.peer;
    if (!this.#take(address)) {
      this.#leftOut(LEFT_PLACES);
      return undefined;
    }
    const slot = this.#peers.indexOf(undefined);
    const at = this.#begin(sourceBytes(source), RECORD_BYTES);
    if (at < 0) {
      this.#places.leave(address);
      this.#leftOut(LEFT_FULL);
      return undefined;
    }
    this.#peers[slot] = address;
    this.#open++;
    Atomics.store(this.#shared.words, SLOTS_AT + slot, OPEN);
    writeSource(this.#shared.block, at, source);
    this.#finish(OPENS, slot, sourceBytes(source));
    return this.#tap(slot);
  }

  #tap(slot: number): StreamTap {
    let cut = false;
    let ended = false;
    return {
      push: (chunk) => {
        if (cut || ended || this.#isSatisfied(slot)) return;
        for (let from = 0; from < chunk.length && !cut; from += PIECE_MAX_BYTES) {
          const bytes = Math.min(PIECE_MAX_BYTES, chunk.length - from);
          const at = this.#begin(bytes, 0);
          cut = at < 0;
          if (cut) this.#leftOut(LEFT_CUT);
          else {
            this.#shared.block.set(
              from === 0 && bytes === chunk.length ? chunk : chunk.subarray(from, from + bytes),
              at,
            );
            this.#finish(BYTES, slot, bytes);
          }
        }
      },
      end: (complete) => {
        if (ended) return;
        ended = true;
        this.#open--;
        // Its room was kept free.
        this.#begin(0, 0);
        this.#finish(complete && !cut ? ENDS_WHOLE : ENDS_CUT, slot, 0);
      },
    };
  }

  /** Takes a place, of those too that the reader has done with. */
  #take(peer: string): boolean {
    if (this.#places.take(peer)) return true;
    for (const [slot, held] of this.#peers.entries()) {
      if (held === undefined || Atomics.load(this.#shared.words, SLOTS_AT + slot) !== FREE) continue;
      this.#peers[slot] = undefined;
      this.#places.leave(held);
    }
    return this.#places.take(peer);
  }

  #isSatisfied(slot: number): boolean {
    return Atomics.load(this.#shared.words, SLOTS_AT + slot) === SATISFIED;
  }

  #leftOut(word: number): void {
    Atomics.add(this.#shared.words, word, 1);
  }

  /** Where in the block the payload of the next record goes; below 0: no room. `more`: what must be left besides the ends of open streams. */
  #begin(payloadBytes: number, more: number): number {
    const { words, block, capacity } = this.#shared;
    const size = aligned(RECORD_BYTES + payloadBytes);
    // Only this thread writes it.
    let written = words[WRITTEN] ?? 0;
    const used = (written - Atomics.load(words, TAKEN)) >>> 0;
    const needs = size + more + this.#open * RECORD_BYTES;
    const toEnd = capacity - this.#shared.place(written);
    const restarts = used === 0 && capacity - toEnd >= RESTART_BYTES && toEnd + needs <= capacity;
    const skip = toEnd < size || restarts ? toEnd : 0;
    if (used + skip + needs > capacity) return -1;
    if (skip > 0) {
      block.writeUInt32LE(WRAP, this.#shared.place(written));
      written = (written + skip) | 0;
    }
    this.#at = this.#shared.place(written);
    this.#next = (written + size) | 0;
    this.#size = size;
    return this.#at + RECORD_BYTES;
  }

  #at = 0;
  #next = 0;
  #size = 0;

  /** Gives the begun record to the reader. */
  #finish(type: number, slot: number, payloadBytes: number): void {
    const { words, block } = this.#shared;
    block.writeUInt32LE(this.#size, this.#at);
    block[this.#at + 4] = type;
    block.writeUInt16LE(slot, this.#at + 6);
    block.writeUInt32LE(payloadBytes, this.#at + 8);
    Atomics.store(words, WRITTEN, this.#next);
  }
}

/** The reader's end; one for a buffer, in one thread. What it takes is copied out. */
export function createStreamRingLane(buffer: ArrayBufferLike): Lane {
  return new Reader(new Shared(buffer));
}

class Reader implements Lane {
  readonly #shared: Shared;
  readonly #streams: (InspectedStream | undefined)[] = [];

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  waiting(): boolean {
    const { words } = this.#shared;
    return Atomics.load(words, WRITTEN) !== words[TAKEN];
  }

  take(): Piece | undefined {
    let piece: Piece | undefined;
    while (piece === undefined && this.waiting()) piece = this.#next();
    return piece;
  }

  skipped() {
    const { words } = this.#shared;
    return {
      queue_full: Atomics.load(words, LEFT_FULL) >>> 0,
      streams_limit: Atomics.load(words, LEFT_PLACES) >>> 0,
      stream_cut_short: Atomics.load(words, LEFT_CUT) >>> 0,
    };
  }

  /** Takes one record; undefined for one that is no piece, or that nobody wants any more. */
  #next(): Piece | undefined {
    const { words, block, capacity } = this.#shared;
    let taken = words[TAKEN] ?? 0;
    if (block.readUInt32LE(this.#shared.place(taken)) === WRAP) taken += capacity - this.#shared.place(taken);
    const at = this.#shared.place(taken);
    const piece = this.#read(at, block[at + 4] ?? OPENS, block.readUInt16LE(at + 6));
    Atomics.store(words, TAKEN, (taken + block.readUInt32LE(at)) | 0);
    return piece;
  }

  #read(at: number, type: number, slot: number): Piece | undefined {
    const { block } = this.#shared;
    const from = at + RECORD_BYTES;
    if (type === OPENS) {
      this.#streams[slot] = this.#opened(slot, readSource(block, from).source);
      return undefined;
    }
    const stream = this.#streams[slot];
    if (stream === undefined) return undefined;
    if (type !== BYTES) return { type: 'stream_end', stream, complete: type === ENDS_WHOLE };
    if (stream.satisfied) return undefined;
    return { type: 'stream', stream, bytes: new Uint8Array(block.subarray(from, from + block.readUInt32LE(at + 8))) };
  }

  #opened(slot: number, source: FrameSource): InspectedStream {
    const tell = (state: number) => void Atomics.store(this.#shared.words, SLOTS_AT + slot, state);
    return new InspectedStream(source, {
      onSatisfied: () => tell(SATISFIED),
      onEnd: () => {
        this.#streams[slot] = undefined;
        tell(FREE);
      },
    });
  }
}
