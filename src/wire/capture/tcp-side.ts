/**
 * One direction of a TCP connection, put back in order: retransmissions and overlaps are dropped (the first bytes seen count, as
 * Linux does it), what came early is held, bounded, and what never came is a gap. Sequence numbers wrap.
 */
import { TCP_HELD_MAX_BYTES, TCP_HELD_SEGMENTS_MAX, TCP_WINDOW_MAX_BYTES } from './limits.ts';

/** Where the bytes go. Views are good until the call returns. */
export interface SideSink {
  data(bytes: Uint8Array): void;
  /** `missing` bytes are not in the capture; what follows comes after them. */
  gap(missing: number): void;
}

interface Held {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** What a snapshot length left out behind `bytes`. */
  readonly missing: number;
}

export interface TcpSide {
  /** The next byte's sequence number is `seq`: a SYN said so, or the first segment of a connection seen midway. */
  start(seq: number): void;
  started(): boolean;
  /** Takes a segment; `missing` bytes behind `bytes` were cut off by a snapshot length. False when it is far outside the window. */
  segment(seq: number, bytes: Uint8Array, missing: number): boolean;
  /** A FIN whose sequence number is `seq`. */
  finish(seq: number): void;
  /** Whether everything up to the FIN was given. */
  finished(): boolean;
  /** Nothing more will come: gives what is held, with gaps. */
  flush(): void;
  /** Bytes held behind a hole. */
  heldBytes(): number;
  /** The sequence number that the start had, to tell a new connection by. */
  initial(): number;
}

/** Signed distance from `b` to `a` on the circle of sequence numbers. */
const ahead = (a: number, b: number): number => (a - b) | 0;

/** Bytes that a segment stands for. */
const reach = ({ bytes, missing }: Held): number => bytes.length + missing;

export function createTcpSide(sink: SideSink): TcpSide {
  let next = 0;
  let initial = 0;
  let started = false;
  let finSeq: number | undefined;
  const held: Held[] = [];
  let heldBytes = 0;

  /** Gives a segment that starts at or before `next`. */
  const give = (seq: number, bytes: Uint8Array, missing: number): void => {
    const old = -ahead(seq, next);
    const wireBytes = bytes.length + missing;
    if (old >= wireBytes) return;
    if (old < bytes.length) sink.data(old === 0 ? bytes : bytes.subarray(old));
    if (missing > 0) sink.gap(Math.min(missing, wireBytes - old));
    next = (seq + wireBytes) | 0;
  };
  const giveHeld = (): void => {
    for (let first = held[0]; first !== undefined && ahead(first.seq, next) <= 0; first = held[0]) {
      held.shift();
      heldBytes -= first.bytes.length;
      give(first.seq, first.bytes, first.missing);
    }
  };
  const skipHole = (): void => {
    const first = held[0];
    if (first === undefined) return;
    sink.gap(ahead(first.seq, next));
    next = first.seq;
    giveHeld();
  };
  const hold = (segment: Held): void => {
    let at = held.length;
    while (at > 0 && ahead(held[at - 1]?.seq ?? 0, segment.seq) > 0) at--;
    const before = held[at - 1];
    // The same segment once more, as a capture on several interfaces has it.
    if (before?.seq === segment.seq && reach(before) >= reach(segment) && before.bytes.length >= segment.bytes.length)
      return;
    held.splice(at, 0, segment);
    heldBytes += segment.bytes.length;
    while (heldBytes > TCP_HELD_MAX_BYTES || held.length > TCP_HELD_SEGMENTS_MAX) skipHole();
  };

  return {
    start(seq) {
      initial = seq;
      next = seq;
      started = true;
    },
    started: () => started,
    segment(seq, bytes, missing) {
      const distance = ahead(seq, next);
      if (Math.abs(distance) > TCP_WINDOW_MAX_BYTES) return false;
      if (distance > 0) {
        hold({ seq, bytes: Uint8Array.from(bytes), missing });
        return true;
      }
      give(seq, bytes, missing);
      if (held.length > 0) giveHeld();
      return true;
    },
    finish(seq) {
      finSeq ??= seq;
    },
    finished: () => finSeq !== undefined && ahead(next, finSeq) >= 0,
    flush() {
      while (held.length > 0) skipHole();
      if (finSeq !== undefined && ahead(finSeq, next) > 0) {
        sink.gap(ahead(finSeq, next));
        next = finSeq;
      }
    },
    heldBytes: () => heldBytes,
    initial: () => initial,
  };
}
