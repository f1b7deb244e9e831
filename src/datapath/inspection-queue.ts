/**
 * What waits for inspection in this thread: bounded queues of copies. A full one leaves out what comes, and counts it: frames were
 * forwarded before they got here, so nothing is lost but knowledge.
 */
import type { FrameSource } from '../ring/source.ts';
import type { StreamInspector } from './inspection.ts';

/** Why a frame, or the rest of a stream, was forwarded without being looked into: `inspection_skipped_total`'s reasons. */
export const INSPECTION_SKIP_REASONS = ['queue_full', 'frame_too_large', 'streams_limit', 'stream_cut_short'] as const;
export type InspectionSkipReason = (typeof INSPECTION_SKIP_REASONS)[number];
export type InspectionSkipped = Readonly<Record<InspectionSkipReason, number>>;

/** One thing to inspect. `bytes` is the queue's own copy, the taker's from then on. */
export type Piece =
  | { readonly type: 'packet'; readonly source: FrameSource; readonly bytes: Uint8Array }
  | { readonly type: 'stream'; readonly stream: InspectedStream; readonly bytes: Uint8Array }
  | { readonly type: 'stream_end'; readonly stream: InspectedStream; readonly complete: boolean };

/** One direction of one stream, as the reader sees it; its identity is the object. */
export class InspectedStream {
  readonly source: FrameSource;
  readonly #events: StreamEvents;
  #inspector: StreamInspector | undefined;
  #satisfied = false;

  constructor(source: FrameSource, events: StreamEvents) {
    this.source = source;
    this.#events = events;
  }

  /** What follows need not be copied. */
  get satisfied(): boolean {
    return this.#satisfied;
  }

  /** Gives it the next bytes; `open` makes what reads them. */
  push(bytes: Uint8Array, open: (source: FrameSource) => StreamInspector): void {
    if (this.#satisfied) return;
    this.#inspector ??= open(this.source);
    if (this.#inspector.push(bytes)) return;
    this.#satisfied = true;
    this.#events.onSatisfied();
  }

  end(complete: boolean): void {
    this.#inspector?.end(complete);
    this.#inspector = undefined;
    this.#events.onEnd();
  }
}

/** What whoever fills the queue learns of a stream. */
export interface StreamEvents {
  /** What follows is of no interest. */
  onSatisfied(): void;
  /** Its end was read: it takes up no place any more. */
  onEnd(): void;
}

/** A queue that the pump takes from. */
export interface Lane {
  /** Whether something waits. */
  waiting(): boolean;
  /** The next piece; undefined when nothing waits. */
  take(): Piece | undefined;
  /** What this lane left out since the start. */
  skipped(): Partial<InspectionSkipped>;
}

/** What a piece weighs beside its bytes: its objects. */
const PIECE_OVERHEAD_BYTES = 256;

/** Pieces taken from the front before the array is made anew. */
const COMPACT_AFTER = 1_024;

export interface MemoryLane extends Lane {
  /** Whether a packet of so many bytes has room; counted when not. */
  room(bytes: number): boolean;
  /** Copies and queues a packet; false when there is no room, counted. */
  packet(source: FrameSource, bytes: Uint8Array): boolean;
  /** Copies and queues bytes of a stream; false when there is no room: whoever calls counts it once a stream. */
  stream(stream: InspectedStream, bytes: Uint8Array): boolean;
  /** Queues the end of a stream, room or not: at most one for each stream that was opened. */
  streamEnd(stream: InspectedStream, complete: boolean): void;
}

/** A queue in memory of at most `maxBytes`, objects included. `onPiece` is called when something was queued. */
export function createMemoryLane(maxBytes: number, onPiece: () => void): MemoryLane {
  let pieces: Piece[] = [];
  let first = 0;
  let bytesQueued = 0;
  const left = { queue_full: 0, frame_too_large: 0 };

  const weigh = (piece: Piece): number => PIECE_OVERHEAD_BYTES + (piece.type === 'stream_end' ? 0 : piece.bytes.length);
  const put = (piece: Piece): void => {
    pieces.push(piece);
    bytesQueued += weigh(piece);
    onPiece();
  };
  const fits = (bytes: number): boolean => bytesQueued + bytes + PIECE_OVERHEAD_BYTES <= maxBytes;

  const room = (bytes: number): boolean => {
    if (fits(bytes)) return true;
    if (bytes + PIECE_OVERHEAD_BYTES > maxBytes) left.frame_too_large++;
    else left.queue_full++;
    return false;
  };

  return {
    waiting: () => first < pieces.length,
    take() {
      const piece = pieces[first];
      if (piece === undefined) return undefined;
      bytesQueued -= weigh(piece);
      if (++first === pieces.length || first >= COMPACT_AFTER) {
        pieces = pieces.slice(first);
        first = 0;
      }
      return piece;
    },
    skipped: () => left,
    room,
    packet(source, bytes) {
      if (!room(bytes.length)) return false;
      put({ type: 'packet', source: { ...source, label: Uint8Array.from(source.label) }, bytes: Buffer.from(bytes) });
      return true;
    },
    stream(stream, bytes) {
      if (!fits(bytes.length)) return false;
      put({ type: 'stream', stream, bytes: Buffer.from(bytes) });
      return true;
    },
    streamEnd: (stream, complete) => put({ type: 'stream_end', stream, complete }),
  };
}
