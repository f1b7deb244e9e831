/**
 * The shield on streams: what of wire-protocol §6 a native stream's message (after the label, not encrypted) can hold. It is held until
 * whatever can harm has been read; the bodies of user states and user messages, whose lengths are known by then, flow.
 */
import type { CodecReason } from '../wire/codec-reason.ts';
import { scanPlan } from '../wire/msgpack-plan.ts';
import { integerAt, SCAN, scanStruct } from '../wire/msgpack-scan.ts';
import { PUSH_PULL_NODE } from '../wire/push-pull.ts';
import { createStreamReader, type StreamProgress, type StreamVisitor } from '../wire/stream-reader.ts';
import type { ShieldReason } from './reason.ts';
import { harmOfIncarnation, harmOfVersions } from './shield-rules.ts';

export interface StreamShieldLimits {
  /** The most members that a push/pull may announce. */
  readonly pushPullNodes: number;
}

/** Ten times the largest rings known; at most 7.3 MB reserved for one push/pull, where memberlist itself lets 117 MB pass. */
export const DEFAULT_STREAM_SHIELD_LIMITS: StreamShieldLimits = { pushPullNodes: 65_536 };

export interface StreamShieldState {
  /** `hold`: more has to be read. `clear` and `harm` are for good. */
  readonly state: 'hold' | 'clear' | 'harm';
  readonly reason?: ShieldReason;
}

export interface StreamShield {
  push(chunk: Uint8Array): StreamShieldState;
  /** No more bytes will come: a message that is cut off harms nobody. */
  end(): StreamShieldState;
  /** What the message makes memberlist reserve, as far as it was read: rows, the user state or message, the compress layer. */
  announcedBytes(): number;
}

/** Go's size of memberlist's `pushNodeState` on 64 bits: readRemoteState reserves that much for every announced node. */
const ROW_BYTES = 112;

const HOLD: StreamShieldState = Object.freeze({ state: 'hold' });
const CLEAR: StreamShieldState = Object.freeze({ state: 'clear' });

/** What memberlist cannot read either, and logs, is no harm and not listed. */
const HARM_OF_FAILURE: Partial<Record<CodecReason, ShieldReason>> = {
  empty: 'shield_empty_message',
  length_claim: 'shield_bad_length',
  entries_limit: 'shield_bad_length',
  nodes_limit: 'shield_bad_length',
  user_bytes_limit: 'shield_bad_length',
  depth_limit: 'shield_bomb',
  expanded_limit: 'shield_bomb',
  disguised: 'shield_disguised',
};

const ROW = scanPlan(PUSH_PULL_NODE);
const [INCARNATION, VSN] = ['Incarnation', 'Vsn'].map((name) => Object.keys(PUSH_PULL_NODE.fields).indexOf(name));

interface RowScan {
  harm: ShieldReason | undefined;
}

/** Reads one message; for requests towards the app, and for answers on streams that the app dialled. */
export function createStreamShield(limits: StreamShieldLimits = DEFAULT_STREAM_SHIELD_LIMITS): StreamShield {
  let harm: ShieldReason | undefined;
  let announced = 0;
  let copies = 1;
  const row: RowScan = { harm: undefined };
  const visitor: StreamVisitor = {
    pushPull({ nodes, userStateBytes }) {
      announced += nodes * ROW_BYTES + userStateBytes * copies;
      if (nodes > limits.pushPullNodes) harm ??= 'shield_push_pull_size';
    },
    userMessage(bytes) {
      announced += bytes * copies;
    },
    compressed(_algorithm, bytes) {
      // The packed bytes, what they unpack to, and what is read out of that exist side by side.
      announced += bytes;
      copies = 2;
    },
    row(bytes, at, end) {
      harm ??= harmOfRow(row, bytes, at, end);
    },
  };
  const reader = createStreamReader(visitor);
  let verdict = HOLD;
  const judge = ({ state, failure }: StreamProgress, isOver: boolean): StreamShieldState => {
    const reason = harm ?? (failure === undefined ? undefined : HARM_OF_FAILURE[failure.reason]);
    if (reason !== undefined) verdict = { state: 'harm', reason };
    else if (state !== 'reading' || isOver) verdict = CLEAR;
    return verdict;
  };
  return {
    push: (chunk) => (verdict === HOLD ? judge(reader.push(chunk), false) : verdict),
    end: () => (verdict === HOLD ? judge(reader.end(), true) : verdict),
    announcedBytes: () => announced,
  };
}

function harmOfRow(row: RowScan, bytes: Uint8Array, at: number, end: number): ShieldReason | undefined {
  row.harm = undefined;
  scanStruct(bytes, at, end, ROW, visitRowField, row);
  return row.harm;
}

function visitRowField(field: number, bytes: Uint8Array, at: number, end: number, row: RowScan): number {
  if (field === VSN) row.harm = harmOfVersions(bytes, at, end, false);
  else if (field === INCARNATION) row.harm = harmOfIncarnation(integerAt(bytes, at));
  return row.harm === undefined ? 0 : SCAN.lowest - 1;
}
