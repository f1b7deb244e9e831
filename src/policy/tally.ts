/**
 * The counters' layout: doubles over a buffer that is passed in, one buffer for each thread that counts (one writer each), summed
 * by whoever reads (tally-reading.ts). Every series that the configuration can produce has its place, so zero is visible from the start.
 */
import { TRANSPORTS, type Transport } from '../wire/transport.ts';
import type { Decision } from './decide.ts';
import {
  DIRECTIONS,
  type Direction,
  type FrameState,
  KINDS,
  type Kind,
  LABEL_STATES,
  type LabelState,
  labelStateOf,
} from './facts.ts';
import { REASON_INDEX, REJECT_REASONS, type RejectReason } from './reason.ts';
import { STAGE_INDEX, STAGES, type Stage } from './stage.ts';

/** Faults and overload. Whether what overflows a socket would have passed, nobody knows; what the kernel's filter drops would not. */
export const DROP_REASONS = [
  'app_unreachable',
  'peer_unreachable',
  'send_failed',
  'backlog_full',
  'socket_overflow',
  'kernel_filter',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** What opened a sealed frame: its associated data (wire/encryption.ts SealForm), or none of the keys. */
export const SEAL_OUTCOMES = ['label', 'empty', 'no_key'] as const;
export type SealOutcome = (typeof SEAL_OUTCOMES)[number];

/** Where a frame was seen: the labels that frames and rejections share. */
export interface Where {
  readonly direction: Direction;
  readonly transport: Transport;
  readonly kind: Kind;
}

const WHERE_COUNT = DIRECTIONS.length * TRANSPORTS.length * KINDS.length;
const FRAMES_AT = 0;
const FRAMES_SIZE = WHERE_COUNT * LABEL_STATES.length * 2;
const BYTES_AT = FRAMES_AT + FRAMES_SIZE;
const REJECTED_AT = BYTES_AT + WHERE_COUNT;
const REJECTED_SIZE = WHERE_COUNT * REJECT_REASONS.length;
const WOULD_REJECT_AT = REJECTED_AT + REJECTED_SIZE;
const WOULD_REJECT_SIZE = REJECTED_SIZE * STAGES.length;
const WOULD_STRAND_AT = WOULD_REJECT_AT + WOULD_REJECT_SIZE;
const FALLBACKS_AT = WOULD_STRAND_AT + STAGES.length;
const OVERSIZE_AT = FALLBACKS_AT + 1;
const DROPPED_AT = OVERSIZE_AT + 1;
const FORWARD_AT = DROPPED_AT + DROP_REASONS.length;

/** Upper bounds of the forward_seconds buckets; the last bucket is open. */
export const FORWARD_BUCKETS_SECONDS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1] as const;
/** The buckets, the open one, and the sum of the seconds. */
export const FORWARD_CELLS = FORWARD_BUCKETS_SECONDS.length + 2;
const FORWARD_SIZE = DIRECTIONS.length * KINDS.length * FORWARD_CELLS;
const SEALED_AT = FORWARD_AT + FORWARD_SIZE;
const RESEALED_AT = SEALED_AT + DIRECTIONS.length * KINDS.length * SEAL_OUTCOMES.length;
const STRIPPED_AT = RESEALED_AT + DIRECTIONS.length * KINDS.length;
const QUARANTINE_DROPPED_AT = STRIPPED_AT + 1;
const SIZE = QUARANTINE_DROPPED_AT + 1;

/** Where each family of counters begins; within one the last of its keys goes round fastest. */
export const TALLY_AT = {
  frames: FRAMES_AT,
  bytes: BYTES_AT,
  rejected: REJECTED_AT,
  wouldReject: WOULD_REJECT_AT,
  wouldStrand: WOULD_STRAND_AT,
  fallbacks: FALLBACKS_AT,
  oversize: OVERSIZE_AT,
  dropped: DROPPED_AT,
  forward: FORWARD_AT,
  sealed: SEALED_AT,
  resealed: RESEALED_AT,
  stripped: STRIPPED_AT,
  quarantineDropped: QUARANTINE_DROPPED_AT,
} as const;

/** Bytes of one tally buffer. */
export const TALLY_BYTES = SIZE * Float64Array.BYTES_PER_ELEMENT;

/** Which double of a tally buffer counts the rejections at one place for one reason (rejected-count.ts). */
export function rejectedCell(where: Where, reason: RejectReason): number {
  return REJECTED_AT + whereIndex(where) * REJECT_REASONS.length + REASON_INDEX[reason];
}

function whereIndex({ direction, transport, kind }: Where): number {
  const d = direction === 'inbound' ? 0 : 1;
  return (d * TRANSPORTS.length + TRANSPORTS.indexOf(transport)) * KINDS.length + (kind === 'packet' ? 0 : 1);
}

/** The cells that one more frame of a kind counts in: the same for every tally. */
export interface FrameCells {
  readonly bytesAt: number;
  readonly counts: Int32Array;
}

/** Where a frame that is decided so counts: worked out once for frames that come often (Tally.counted). */
export function frameCells(where: Where, state: FrameState, decision: Decision): FrameCells {
  const w = whereIndex(where);
  const counts: number[] = [];
  eachCount(w, state, decision, (at) => counts.push(at));
  return { bytesAt: BYTES_AT + w, counts: Int32Array.from(counts) };
}

/** Visits each cell that a frame decided so counts in. */
function eachCount(w: number, state: FrameState, decision: Decision, count: (at: number) => void): void {
  count(frameAt(w, labelStateOf(state), decision.verdict === 'reject'));
  const { reason: rejected, wouldReject, wouldStrand } = decision;
  if (rejected !== undefined) count(REJECTED_AT + w * REJECT_REASONS.length + REASON_INDEX[rejected]);
  for (const { stage, reason } of wouldReject) count(wouldRejectAt(w, reason, stage));
  for (const stage of wouldStrand) count(WOULD_STRAND_AT + STAGE_INDEX[stage]);
  if (decision.fallback) count(FALLBACKS_AT);
}

/** The writing side, owned by one thread. */
export interface Tally {
  /** Counts one decided frame: its verdict, its rejection, what later stages would do, a fall-back. */
  frame(where: Where, state: FrameState, decision: Decision): void;
  /** The same by its cells, and `passedBytes` (0 for a rejected one) of it, without allocation. */
  counted(cells: FrameCells, passedBytes: number): void;
  /** Counts what later stages would do with a frame that was counted before, for what was found in it since. */
  wouldReject(where: Where, wouldReject: Decision['wouldReject']): void;
  /** Counts bytes of a passing frame, as read from its sender. */
  bytes(where: Where, count: number): void;
  /** Counts a rejection by a bound, after or without a decision (time-outs, limits). The frame itself counts as rejected. */
  limited(where: Where, labelState: LabelState, reason: RejectReason): void;
  /** Counts a rejection of a frame that was already counted as passing (a bound hit while it flowed). */
  cut(where: Where, reason: RejectReason): void;
  dropped(reason: DropReason, count?: number): void;
  /** A passing datagram that is larger than the path's MTU once its label is added. */
  oversize(): void;
  /** The time from a frame's arrival (a stream: its header's) to its hand-over to the other side; of `count` frames of one batch. */
  forwarded(direction: Direction, kind: Kind, seconds: number, count?: number): void;
  /** A sealed frame that the keys were tried on; what looks like plaintext is none. */
  sealed(direction: Direction, kind: Kind, outcome: SealOutcome): void;
  /** A frame that was sealed anew, in its reader's form or because quarantine changed it. */
  resealed(direction: Direction, kind: Kind): void;
  /** Entries of gossip that quarantine took out: alive entries of foreigners, and what foreigners say of own members. */
  quarantined(stripped: number, dropped: number): void;
}

/** A writer over `buffer` (TALLY_BYTES, zeroed). */
export function createTally(buffer: ArrayBufferLike): Tally {
  const cells = new Float64Array(buffer, 0, SIZE);
  const bump = (at: number, by = 1) => {
    cells[at] = (cells[at] as number) + by;
  };
  const counted: Tally['counted'] = ({ counts, bytesAt }, passedBytes) => {
    for (let i = 0; i < counts.length; i++) bump(counts[i] as number);
    bump(bytesAt, passedBytes);
  };
  return {
    frame: (where, state, decision) => eachCount(whereIndex(where), state, decision, bump),
    counted,
    wouldReject(where, wouldReject) {
      for (const { stage, reason } of wouldReject) bump(wouldRejectAt(whereIndex(where), reason, stage));
    },
    bytes: (where, count) => bump(BYTES_AT + whereIndex(where), count),
    limited(where, labelState, reason) {
      bump(frameAt(whereIndex(where), labelState, true));
      bump(rejectedCell(where, reason));
    },
    cut: (where, reason) => bump(rejectedCell(where, reason)),
    dropped: (reason, count) => bump(DROPPED_AT + DROP_REASONS.indexOf(reason), count),
    oversize: () => bump(OVERSIZE_AT),
    forwarded(direction, kind, seconds, count = 1) {
      const base = forwardAt(direction, kind);
      let bucket = 0;
      while (bucket < FORWARD_BUCKETS_SECONDS.length && seconds > (FORWARD_BUCKETS_SECONDS[bucket] as number)) bucket++;
      bump(base + bucket, count);
      bump(base + FORWARD_CELLS - 1, seconds * count);
    },
    sealed: (direction, kind, outcome) =>
      bump(SEALED_AT + placeOf(direction, kind) * SEAL_OUTCOMES.length + SEAL_OUTCOMES.indexOf(outcome)),
    resealed: (direction, kind) => bump(RESEALED_AT + placeOf(direction, kind)),
    quarantined(stripped, dropped) {
      bump(STRIPPED_AT, stripped);
      bump(QUARANTINE_DROPPED_AT, dropped);
    },
  };
}

function frameAt(where: number, state: LabelState, rejected: boolean): number {
  return FRAMES_AT + (where * LABEL_STATES.length + LABEL_STATES.indexOf(state)) * 2 + (rejected ? 1 : 0);
}

function wouldRejectAt(where: number, reason: RejectReason, stage: Stage): number {
  return WOULD_REJECT_AT + (where * REJECT_REASONS.length + REASON_INDEX[reason]) * STAGES.length + STAGE_INDEX[stage];
}

function placeOf(direction: Direction, kind: Kind): number {
  return (direction === 'inbound' ? 0 : 1) * KINDS.length + (kind === 'packet' ? 0 : 1);
}

function forwardAt(direction: Direction, kind: Kind): number {
  return FORWARD_AT + placeOf(direction, kind) * FORWARD_CELLS;
}
