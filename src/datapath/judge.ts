/** The way of a frame through the core, the same on every path: look up, decide, record. */
import { type Decision, decide } from '../policy/decide.ts';
import {
  type Direction,
  type FrameState,
  isMalformed,
  type Kind,
  type LabelState,
  labelStateOf,
  type PeerView,
} from '../policy/facts.ts';
import type { LimitedReason, RejectReason, ShieldReason } from '../policy/reason.ts';
import type { Where } from '../policy/tally.ts';
import { parseAddress } from '../wire/address.ts';
import { sameBytes } from '../wire/label.ts';
import type { Transport } from '../wire/transport.ts';
import type { Endpoint, FenceContext, Stranger } from './engine.ts';

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
  /** Whether a label, or none, on it says nothing about the app behind its sender: fences' own pings, pings on streams. Asked after `look`. */
  neutral?(): boolean;
}

/** Called when a frame is to wait: keeps what the frame needs (buffers are reused) and returns how it goes on. */
export type Keep = () => () => void;

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
  const view = viewOf(context, frame, address, nowMs);
  const decision = decideFrame(context, frame, view);
  conclude(context, frame, decision, view, address, nowMs);
  return decision;
}

/**
 * The same, unless it may soon be known better who the peer is, or at which stage we are: then nothing is done about the frame, `keep` is
 * called, and what that returned later. Undefined then.
 */
export function judgeOrWait(context: FenceContext, frame: SeenFrame, keep: Keep): Decision | undefined {
  if (context.starting() && waits(context, frame, keep)) return undefined;
  const nowMs = context.now();
  const address = parseAddress(frame.peer.address) ?? UNKNOWN_ADDRESS;
  const view = viewOf(context, frame, address, nowMs);
  const decision = decideFrame(context, frame, view);
  if (turnsOnPeer(decision.reason) && waits(context, frame, keep)) return undefined;
  conclude(context, frame, decision, view, address, nowMs);
  return decision;
}

/** Whether it is who its peer is that rejects a frame. */
export function turnsOnPeer(reason: RejectReason | undefined): boolean {
  return reason === 'peer_not_admitted' || reason === 'peer_foreign';
}

/** The frame's peer, as somebody to ask about. */
function strangerOf({ peer, direction, handshake }: SeenFrame): Stranger {
  return { address: peer.address, reached: handshake || direction === 'outbound' };
}

function waits({ doubts }: FenceContext, frame: SeenFrame, keep: Keep): boolean {
  let again: (() => void) | undefined;
  if (!doubts.wait(strangerOf(frame), frame.bytes, () => again?.())) return false;
  again = keep();
  return true;
}

/** Counts a decision that stands, learns from its frame, and reports it. */
function conclude(
  context: FenceContext,
  frame: SeenFrame,
  decision: Decision,
  view: PeerView,
  address: Uint8Array,
  nowMs: number,
): void {
  context.tally.frame(frame, frame.state, decision);
  learn(context, frame, view, address, nowMs);
  if (decision.verdict === 'pass' && frame.direction === 'outbound') {
    context.peers.sent(address, frame.peer.port, nowMs);
  }
  report(context, frame, decision, nowMs);
}

/** What judge would decide, without counting, learning or reporting: for a frame that has to wait for the rest of itself. */
export function preview(context: FenceContext, frame: SeenFrame): Decision {
  const address = parseAddress(frame.peer.address) ?? UNKNOWN_ADDRESS;
  return decideFrame(context, frame, viewOf(context, frame, address, context.now()));
}

/**
 * Counts and reports harm that was found in a frame after `first` was decided and carried out: what the later stages would reject for
 * it, besides those that would by its label. For `observe`, where nothing waits to be looked into.
 */
export function judgeLate(context: FenceContext, frame: SeenFrame, first: Decision, harm: ShieldReason): void {
  const nowMs = context.now();
  const address = parseAddress(frame.peer.address) ?? UNKNOWN_ADDRESS;
  const view = viewOf(context, frame, address, nowMs);
  const decision = decideFrame(context, { ...frame, look: () => harm }, view);
  const wouldReject = decision.wouldReject.filter(
    ({ stage }) => !first.wouldReject.some((known) => known.stage === stage),
  );
  context.tally.wouldReject(frame, wouldReject);
  report(context, frame, { ...decision, reason: undefined, wouldReject }, nowMs);
}

function viewOf(context: FenceContext, { peer }: SeenFrame, address: Uint8Array, nowMs: number): PeerView {
  const memory = context.peers.recall(address, nowMs);
  const admission = context.admission();
  return {
    admitted: admission.admits(peer.address),
    proven: memory.proven,
    foreign: memory.foreign && !admission.shared(peer.address),
  };
}

function decideFrame(context: FenceContext, frame: SeenFrame, view: PeerView): Decision {
  const snapshot = context.snapshot();
  const decision = decide(frame, view, snapshot);
  if (decision.verdict === 'reject' || !snapshot.settings.shield || frame.look === undefined) return decision;
  const harm = frame.look();
  return harm === undefined
    ? decision
    : decide({ direction: frame.direction, state: frame.state, harm }, view, snapshot);
}

/**
 * Reports what was rejected; in `observe`, where nothing is, what the next stage would reject: whom entering it would cut. Nothing waits
 * there, but who turns out to be nobody's stranger should be known before that stage.
 */
function report(context: FenceContext, frame: SeenFrame, decision: Decision, nowMs: number): void {
  const observes = context.snapshot().settings.stage === 'observe';
  const observed = observes ? decision.wouldReject.find(({ stage }) => stage === 'accept') : undefined;
  const reason = decision.reason ?? observed?.reason;
  if (reason === undefined) return;
  if (turnsOnPeer(observed?.reason)) context.doubts.ask(strangerOf(frame));
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
function learn(context: FenceContext, frame: SeenFrame, view: PeerView, address: Uint8Array, nowMs: number): void {
  const { state, handshake } = frame;
  if (frame.direction === 'outbound' || state === 'opaque' || isMalformed(state)) return;
  if (state !== 'foreign' && frame.neutral?.() === true) return;
  const { peers } = context;
  if (handshake) peers.learn(address, state, nowMs);
  else if (state === 'own' && peers.answers(address, frame.peer.port, nowMs)) peers.learn(address, 'own', nowMs);
  if (state !== 'none' || !view.admitted || view.foreign) return;
  // Where everyone is admitted, made up may be whom the label did not prove and we did not send to.
  const known = view.proven || context.admission().hasRules;
  const real = handshake || known || peers.answers(address, frame.peer.port, nowMs);
  if (real) peers.unlabelled(address, nowMs);
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
