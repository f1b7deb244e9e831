/** The writer's end of a ring of streams (inspection-stream-ring.ts). */
import type { FrameSource } from '../ring/source.ts';
import type { StreamTap } from './inside.ts';
import { createPlaces } from './inspection-places.ts';
import {
  BYTES,
  ENDS_CUT,
  ENDS_WHOLE,
  FREE,
  LEFT_CUT,
  LEFT_FULL,
  LEFT_PLACES,
  OPEN,
  OPENS,
  PIECE_MAX_BYTES,
  RECORD_BYTES,
  SATISFIED,
  SLOTS_AT,
  StreamRing,
  TAKEN,
  WRAP,
  WRITTEN,
} from './inspection-stream-ring.ts';
import { sourceBytes, writeSource } from './source-record.ts';

/** An empty ring begins anew once this much of it was used, so that what is seldom full stays small in memory. */
const RESTART_BYTES = 64 * 1024;

const aligned = (bytes: number): number => (bytes + RECORD_BYTES - 1) & -RECORD_BYTES;

export interface StreamRingWriter {
  /** Opens a tap of one direction of a stream; undefined when there is no place or no room for it, counted. */
  open(source: FrameSource): StreamTap | undefined;
  /** Whether something waits to be read. */
  waiting(): boolean;
}

/** The writer's end; one for a buffer, in one thread. `streams`: how many may be open at once, INSPECTED_STREAMS_MAX at most. */
export function createStreamRingWriter(buffer: ArrayBufferLike, streams: number): StreamRingWriter {
  return new Writer(new StreamRing(buffer), streams);
}

class Writer implements StreamRingWriter {
  readonly #shared: StreamRing;
  readonly #places;
  /** The peer of each slot that is in use, until the reader has freed it. */
  readonly #peers: (string | undefined)[];
  /** Streams whose end is not written yet. */
  #open = 0;

  constructor(shared: StreamRing, streams: number) {
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

  waiting(): boolean {
    const { words } = this.#shared;
    return words[WRITTEN] !== Atomics.load(words, TAKEN);
  }

  #tap(slot: number): StreamTap {
    let cut = false;
    let ended = false;
    return {
      push: (chunk) => {
        if (cut || ended || this.#isSatisfied(slot)) return false;
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
        return !cut;
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
