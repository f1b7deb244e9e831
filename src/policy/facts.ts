/** The facts that decide about a frame: closed lists, so that every combination can be decided ahead of time. */
import { MALFORMED_REASONS, type MalformedReason } from '../wire/reason.ts';
import type { ShieldReason } from './reason.ts';

export const DIRECTIONS = ['inbound', 'outbound'] as const;
export type Direction = (typeof DIRECTIONS)[number];

export const KINDS = ['packet', 'stream'] as const;
export type Kind = (typeof KINDS)[number];

export const LABEL_STATES = ['own', 'none', 'foreign', 'malformed', 'opaque'] as const;
export type LabelState = (typeof LABEL_STATES)[number];

/** A label state, with the malformed ones told apart by their reason. */
export const FRAME_STATES = ['own', 'none', 'foreign', 'opaque', ...MALFORMED_REASONS] as const;
export type FrameState = 'own' | 'none' | 'foreign' | 'opaque' | MalformedReason;

const MALFORMED: ReadonlySet<string> = new Set(MALFORMED_REASONS);

export function isMalformed(state: FrameState): state is MalformedReason {
  return MALFORMED.has(state);
}

export function labelStateOf(state: FrameState): LabelState {
  return isMalformed(state) ? 'malformed' : state;
}

export interface Facts {
  readonly direction: Direction;
  readonly state: FrameState;
  /** What the shield found inside; looked for only when the label's verdict lets the frame pass. */
  readonly harm?: ShieldReason | undefined;
}

/**
 * What is known of a frame's remote peer. `admitted` comes from the admission rules, the rest from the ring's memory.
 * `foreign` is never set for an ambiguous address.
 */
export interface PeerView {
  readonly admitted: boolean;
  readonly proven: boolean;
  readonly foreign: boolean;
}
