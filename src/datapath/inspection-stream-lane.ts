/** The reader's end of a ring of streams (inspection-stream-ring.ts). */
import type { FrameSource } from '../ring/source.ts';
import { InspectedStream, type Lane, type Piece } from './inspection-queue.ts';
import {
  BYTES,
  ENDS_WHOLE,
  FREE,
  LEFT_CUT,
  LEFT_FULL,
  LEFT_PLACES,
  OPENS,
  RECORD_BYTES,
  SATISFIED,
  SLOTS_AT,
  StreamRing,
  TAKEN,
  WRAP,
  WRITTEN,
} from './inspection-stream-ring.ts';
import { readSource } from './source-record.ts';

/** The reader's end; one for a buffer, in one thread. What it takes is copied out. */
export function createStreamRingLane(buffer: ArrayBufferLike): Lane {
  return new Reader(new StreamRing(buffer));
}

class Reader implements Lane {
  readonly #shared: StreamRing;
  readonly #streams: (InspectedStream | undefined)[] = [];

  constructor(shared: StreamRing) {
    this.#shared = shared;
  }

  /** A plain read, as that of packets (inspection-ring.ts). */
  waiting(): boolean {
    const { words } = this.#shared;
    return words[WRITTEN] !== words[TAKEN];
  }

  take(): Piece | undefined {
    const { words } = this.#shared;
    let piece: Piece | undefined;
    while (piece === undefined && Atomics.load(words, WRITTEN) !== words[TAKEN]) piece = this.#next();
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
