/** The way of a frame through the core, the same on every path: look up, decide, record. */
import { type Decision, decide } from '../policy/decide.ts';
import {
  type Direction,
  type FrameState,
  isMalformed,
  type Kind,
  type LabelState,
  labelStateOf,
} from '../policy/facts.ts';
import type { LimitedReason, ShieldReason } from '../policy/reason.ts';
import type { Where } from '../policy/tally.ts';
import { parseAddress } from '../wire/address.ts';
import { sameBytes } from '../wire/label.ts';
import type { Transport } from '../wire/transport.ts';
import type { Endpoint, FenceContext } from './engine.ts';

/** One frame as a path saw it. */
export interface SeenFrame {
  readonly direction: Direction;
  readonly transport: Transport;
  readonly kind: Kind;
  readonly state: FrameState;
  /** The remote member, whichever side dialled. */
  readonly peer: Endpoint;
  /** Label bytes that the frame carried; a view is fine. */
  readonly label: Uint8Array;
  /** Bytes of the frame, as far as they are known when it is judged. */
  readonly bytes: number;
  /** Whether the peer's address is beyond one spoofed datagram: it completed a TCP handshake. */
  readonly handshake: boolean;
  /** Looks inside for what would crash a receiver; asked at most once, and only when the label's verdict lets the frame pass. */
  look?(): ShieldReason | undefined;
}

const UNKNOWN_ADDRESS = new Uint8Array(16);
const NO_LABEL = new Uint8Array(0);

/** The state of a frame whose label bytes are `label` (empty: none). */
export function stateOfLabel(label: Uint8Array, own: Uint8Array): 'own' | 'none' | 'foreign' {
  if (label.length === 0) return 'none';
  return sameBytes(label, own) ? 'own' : 'foreign';
}

/** Decides about a frame, counts it, learns from it, and reports it (report). */
export function judge(context: FenceContext, frame: SeenFrame): Decision {
  const nowMs = context.now();
  const address = parseAddress(frame.peer.address) ?? UNKNOWN_ADDRESS;
  const decision = decideFrame(context, frame, address, nowMs);
  context.tally.frame(frame, frame.state, decision);
  learn(context, frame, address, nowMs);
  if (decision.verdict === 'pass' && frame.direction === 'outbound') {
    context.peers.sent(address, frame.peer.port, nowMs);
  }
  report(context, frame, decision, nowMs);
  return decision;
}

/** What judge would decide, without counting, learning or reporting: for a frame that has to wait for the rest of itself. */
export function preview(context: FenceContext, frame: SeenFrame): Decision {
  return decideFrame(context, frame, parseAddress(frame.peer.address) ?? UNKNOWN_ADDRESS, context.now());
}

/**
 * Counts and reports harm that was found in a frame after `first` was decided and carried out: what the later stages would reject for
 * it, besides those that would by its label. For `observe`, where nothing waits to be looked into.
 */
export function judgeLate(context: FenceContext, frame: SeenFrame, first: Decision, harm: ShieldReason): void {
  const nowMs = context.now();
  const address = parseAddress(frame.peer.address) ?? UNKNOWN_ADDRESS;
  const decision = decideFrame(context, { ...frame, look: () => harm }, address, nowMs);
  const wouldReject = decision.wouldReject.filter(
    ({ stage }) => !first.wouldReject.some((known) => known.stage === stage),
  );
  context.tally.wouldReject(frame, wouldReject);
  report(context, frame, { ...decision, reason: undefined, wouldReject }, nowMs);
}

function decideFrame(context: FenceContext, frame: SeenFrame, address: Uint8Array, nowMs: number): Decision {
  const snapshot = context.snapshot();
  const memory = context.peers.recall(address, nowMs);
  const admission = context.admission();
  const view = {
    admitted: admission.admits(frame.peer.address),
    proven: memory.proven,
    foreign: memory.foreign && !admission.shared(frame.peer.address),
  };
  const decision = decide(frame, view, snapshot);
  if (decision.verdict === 'reject' || !snapshot.settings.shield || frame.look === undefined) return decision;
  const harm = frame.look();
  return harm === undefined
    ? decision
    : decide({ direction: frame.direction, state: frame.state, harm }, view, snapshot);
}

/** Reports what was rejected; in `observe`, where nothing is, what the next stage would reject: whom entering it would cut. */
function report(context: FenceContext, frame: SeenFrame, decision: Decision, nowMs: number): void {
  const observes = context.snapshot().settings.stage === 'observe';
  const observed = observes ? decision.wouldReject.find(({ stage }) => stage === 'accept') : undefined;
  const reason = decision.reason ?? observed?.reason;
  if (reason === undefined) return;
  context.onRejection({
    atMs: nowMs,
    direction: frame.direction,
    transport: frame.transport,
    kind: frame.kind,
    peer: frame.peer,
    labelState: labelStateOf(frame.state),
    reason,
    ...(observed === undefined ? {} : { wouldRejectAt: observed.stage }),
    label: Uint8Array.from(frame.label),
    bytes: frame.bytes,
  });
}

/**
 * Memory learns from bytes that arrive, never from verdicts: from inbound TCP, and from own-labelled datagrams that come from where
 * we lately sent. A foreign label on UDP teaches nothing, because one spoofed datagram could cut a member off.
 */
function learn(context: FenceContext, frame: SeenFrame, address: Uint8Array, nowMs: number): void {
  const { state } = frame;
  if (frame.direction === 'outbound' || state === 'opaque' || isMalformed(state)) return;
  if (frame.handshake) context.peers.learn(address, state, nowMs);
  else if (state === 'own' && context.peers.answers(address, frame.peer.port, nowMs)) {
    context.peers.learn(address, 'own', nowMs);
  }
}

/** What is known of a frame that a bound refuses before its label was read. */
export interface UnreadFrame extends Where {
  readonly labelState: LabelState;
  readonly peer: Endpoint;
  readonly bytes: number;
}

/** Counts and reports a frame that is refused without having been read. */
export function refuseUnread(context: FenceContext, frame: UnreadFrame, reason: LimitedReason): void {
  context.tally.limited(frame, frame.labelState, reason);
  context.onRejection({ ...frame, atMs: context.now(), reason, label: NO_LABEL });
}
