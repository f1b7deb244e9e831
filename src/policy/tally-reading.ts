/** The sums of several tallies (tally.ts), as whoever shows them reads them: a page of metrics, the status. */
import { TRANSPORTS } from '../wire/transport.ts';
import { DIRECTIONS, KINDS, LABEL_STATES, type LabelState } from './facts.ts';
import { REJECT_REASONS, type RejectReason } from './reason.ts';
import { STAGES, type Stage } from './stage.ts';
import {
  DROP_REASONS,
  type DropReason,
  FORWARD_CELLS,
  SEAL_OUTCOMES,
  type SealOutcome,
  TALLY_AT,
  TALLY_BYTES,
  type Where,
} from './tally.ts';

const SIZE = TALLY_BYTES / Float64Array.BYTES_PER_ELEMENT;
const VERDICTS = ['pass', 'reject'] as const;

type Way = Pick<Where, 'direction' | 'kind'>;
export type FrameRow = Where & { readonly labelState: LabelState; readonly verdict: (typeof VERDICTS)[number] };
export type RejectedRow = Where & { readonly reason: RejectReason };
export type WouldRejectRow = RejectedRow & { readonly stage: Stage };

/** A family of counters: what each of them counts, the same rows in every reading, and the counts in their order. */
export interface Counts<Row> {
  readonly rows: readonly Row[];
  readonly values: Float64Array;
}

type Counted<Row> = readonly (Row & { readonly value: number })[];

export interface TallyReading {
  /** Of the large families what counted anything; `all` has the zeros too. */
  readonly frames: Counted<FrameRow>;
  readonly rejected: Counted<RejectedRow>;
  readonly wouldReject: Counted<WouldRejectRow>;
  readonly all: {
    readonly frames: Counts<FrameRow>;
    readonly rejected: Counts<RejectedRow>;
    readonly wouldReject: Counts<WouldRejectRow>;
  };
  /** Of these every place of the layout. */
  readonly bytes: Counted<Where>;
  readonly wouldStrand: Counted<{ readonly stage: Stage }>;
  readonly dropped: Counted<{ readonly reason: DropReason }>;
  readonly sealed: Counted<Way & { readonly outcome: SealOutcome }>;
  readonly resealed: Counted<Way>;
  /** `buckets` are counts of each bucket alone (not cumulative), one more than FORWARD_BUCKETS_SECONDS. */
  readonly forward: readonly (Way & { readonly buckets: readonly number[]; readonly sumSeconds: number })[];
  readonly fallbacks: number;
  readonly oversize: number;
  readonly quarantined: { readonly stripped: number; readonly dropped: number };
}

/** Rows of every family, in the order of their cells. */
function createRows() {
  const ways: Way[] = DIRECTIONS.flatMap((direction) => KINDS.map((kind) => ({ direction, kind })));
  const places: Where[] = DIRECTIONS.flatMap((direction) =>
    TRANSPORTS.flatMap((transport) => KINDS.map((kind) => ({ direction, transport, kind }))),
  );
  const frames = places.flatMap((where) =>
    LABEL_STATES.flatMap((labelState) => VERDICTS.map((verdict): FrameRow => ({ ...where, labelState, verdict }))),
  );
  const rejected = places.flatMap((where) => REJECT_REASONS.map((reason): RejectedRow => ({ ...where, reason })));
  return {
    ways,
    places,
    frames,
    rejected,
    wouldReject: rejected.flatMap((row) => STAGES.map((stage): WouldRejectRow => ({ ...row, stage }))),
    wouldStrand: STAGES.map((stage) => ({ stage })),
    dropped: DROP_REASONS.map((reason) => ({ reason })),
    sealed: ways.flatMap((way) => SEAL_OUTCOMES.map((outcome) => ({ ...way, outcome }))),
  };
}

/** Thousands of rows: not made before somebody reads. */
let rowsOfAll: ReturnType<typeof createRows> | undefined;

/** Reads the sums over `buffers`. */
export function readTallies(buffers: readonly ArrayBufferLike[]): TallyReading {
  const sums = new Float64Array(SIZE);
  for (const buffer of buffers) {
    const cells = new Float64Array(buffer, 0, SIZE);
    for (let i = 0; i < SIZE; i++) sums[i] = (sums[i] as number) + (cells[i] as number);
  }
  rowsOfAll ??= createRows();
  const { ways, places, wouldStrand, dropped, sealed } = rowsOfAll;
  const from = <Row>(rows: readonly Row[], at: number) => ({ rows, values: sums.subarray(at, at + rows.length) });
  const all = {
    frames: from(rowsOfAll.frames, TALLY_AT.frames),
    rejected: from(rowsOfAll.rejected, TALLY_AT.rejected),
    wouldReject: from(rowsOfAll.wouldReject, TALLY_AT.wouldReject),
  };
  const at = (i: number) => sums[i] as number;
  const each = <Row>(rows: readonly Row[], first: number) => rows.map((row, i) => ({ ...row, value: at(first + i) }));
  return {
    all,
    frames: counted(all.frames),
    rejected: counted(all.rejected),
    wouldReject: counted(all.wouldReject),
    bytes: each(places, TALLY_AT.bytes),
    wouldStrand: each(wouldStrand, TALLY_AT.wouldStrand),
    dropped: each(dropped, TALLY_AT.dropped),
    sealed: each(sealed, TALLY_AT.sealed),
    resealed: each(ways, TALLY_AT.resealed),
    forward: ways.map((way, i) => {
      const first = TALLY_AT.forward + i * FORWARD_CELLS;
      const buckets = [...sums.subarray(first, first + FORWARD_CELLS - 1)];
      return { ...way, buckets, sumSeconds: at(first + FORWARD_CELLS - 1) };
    }),
    fallbacks: at(TALLY_AT.fallbacks),
    oversize: at(TALLY_AT.oversize),
    quarantined: { stripped: at(TALLY_AT.stripped), dropped: at(TALLY_AT.quarantineDropped) },
  };
}

function counted<Row>({ rows, values }: Counts<Row>): Counted<Row> {
  const found: (Row & { value: number })[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value > 0) found.push({ ...(rows[i] as Row), value });
  }
  return found;
}
