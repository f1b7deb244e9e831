/** The way of a frame through the core, the same on every path: look up, decide, record. */
import { type Decision, decide, PEER_VIEWS, VIEW } from '../policy/decide.ts';
import {
  type Direction,
  type Facts,
  type FrameState,
  isMalformed,
  type Kind,
  type LabelState,
  labelStateOf,
  type PeerView,
} from '../policy/facts.ts';
import type { LimitedReason, RejectReason, ShieldReason } from '../policy/reason.ts';
import type { Where } from '../policy/tally.ts';
import { sameBytes } from '../wire/label.ts';
import type { Transport } from '../wire/transport.ts';
import type { Endpoint, FenceContext, Stranger } from './engine.ts';
import { createPacketPeer, type PacketPeer } from './packet-peer.ts';

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

const NO_LABEL = new Uint8Array(0);

/** The state of a frame whose label bytes are `label` (empty: none). */
export function stateOfLabel(label: Uint8Array, own: Uint8Array): 'own' | 'none' | 'foreign' {
  if (label.length === 0) return 'none';
  return sameBytes(label, own) ? 'own' : 'foreign';
}

/** Decides about a frame, counts it, learns from it, and reports it (report). `peer`: what is kept of its peer, of the same address. */
export function judge(context: FenceContext, frame: SeenFrame, peer: PacketPeer = peerOf(frame)): Decision {
  const nowMs = context.now();
  const view = peer.view(context, nowMs);
  const decision = decideFrame(context, frame, view);
  context.tally.frame(frame, frame.state, decision);
  if (teaches(frame.direction, frame.state) && (frame.state === 'foreign' || frame.neutral?.() !== true)) {
    learn(context, peer, frame.state, view, frame.handshake, nowMs);
  }
  if (decision.verdict === 'pass' && frame.direction === 'outbound') peer.known(context).sent(nowMs);
  if (isReported(context, decision)) report(context, frame, decision, nowMs);
  return decision;
}

function peerOf({ peer }: SeenFrame): PacketPeer {
  return createPacketPeer(peer.address, peer.port);
}

/** Whether it is who its peer is that rejects a frame. */
export function turnsOnPeer(reason: RejectReason | undefined): boolean {
  return reason === 'peer_not_admitted' || reason === 'peer_foreign';
}

/** The frame's peer, as somebody to ask about. */
export function strangerOf(peer: Endpoint, direction: Direction, handshake: boolean): Stranger {
  return { address: peer.address, reached: handshake || direction === 'outbound' };
}

/** What judge would decide by the label alone, without counting, learning or reporting: for a frame that has to wait for the rest of itself. */
export function preview(context: FenceContext, facts: Facts, peer: PacketPeer): Decision {
  return decide(facts, PEER_VIEWS[peer.view(context, context.now())] as PeerView, context.snapshot());
}

/**
 * Counts and reports harm that was found in a frame after `first` was decided and carried out: what the later stages would reject for
 * it, besides those that would by its label. For `observe`, where nothing waits to be looked into.
 */
export function judgeLate(context: FenceContext, frame: SeenFrame, first: Decision, harm: ShieldReason): void {
  const nowMs = context.now();
  const view = peerOf(frame).view(context, nowMs);
  const decision = decideFrame(context, { ...frame, look: () => harm }, view);
  const wouldReject = decision.wouldReject.filter(
    ({ stage }) => !first.wouldReject.some((known) => known.stage === stage),
  );
  context.tally.wouldReject(frame, wouldReject);
  const late = { ...decision, reason: undefined, wouldReject };
  if (isReported(context, late)) report(context, frame, late, nowMs);
}

function decideFrame(context: FenceContext, frame: SeenFrame, bits: number): Decision {
  const snapshot = context.snapshot();
  const view = PEER_VIEWS[bits] as PeerView;
  const decision = decide(frame, view, snapshot);
  if (decision.verdict === 'reject' || !snapshot.settings.shield || frame.look === undefined) return decision;
  const harm = frame.look();
  return harm === undefined
    ? decision
    : decide({ direction: frame.direction, state: frame.state, harm }, view, snapshot);
}

/** In `observe` the rejection of the next stage, which is reported in the place of one that is carried out. */
function observedIn(context: FenceContext, { wouldReject }: Decision): Decision['wouldReject'][number] | undefined {
  return context.snapshot().settings.stage === 'observe'
    ? wouldReject.find(({ stage }) => stage === 'accept')
    : undefined;
}

/** Whether a decision is one that `report` has something to say about. */
export function isReported(context: FenceContext, decision: Decision): boolean {
  return decision.reason !== undefined || observedIn(context, decision) !== undefined;
}

/** What of a frame is reported. */
export type ReportedFrame = Omit<SeenFrame, 'look' | 'neutral'>;

/**
 * Reports what was rejected; in `observe`, where nothing is, what the next stage would reject: whom entering it would cut. Nothing waits
 * there, but who turns out to be nobody's stranger should be known before that stage.
 */
export function report(context: FenceContext, frame: ReportedFrame, decision: Decision, nowMs: number): void {
  const observed = observedIn(context, decision);
  const reason = decision.reason ?? observed?.reason;
  if (reason === undefined) return;
  if (turnsOnPeer(observed?.reason)) context.doubts.ask(strangerOf(frame.peer, frame.direction, frame.handshake));
  context.onRejection({
    atMs: nowMs,
    direction: frame.direction,
    transport: frame.transport,
    kind: frame.kind,
    peer: { address: frame.peer.address, port: frame.peer.port },
    labelState: labelStateOf(frame.state),
    reason,
    ...(observed === undefined ? {} : { wouldRejectAt: observed.stage }),
    label: Uint8Array.from(frame.label),
    bytes: frame.bytes,
  });
}

/** Whether a frame says something of its peer: it came from there, and its label could be read. */
export function teaches(direction: Direction, state: FrameState): boolean {
  return direction === 'inbound' && state !== 'opaque' && !isMalformed(state);
}

/**
 * Memory learns from bytes that arrive, never from verdicts: from inbound TCP, and from own-labelled datagrams that come from where
 * we lately sent. A foreign label on UDP teaches nothing, because one spoofed datagram could cut a member off. To be called for frames that
 * teach, and that are not neutral (SeenFrame.neutral; a foreign label never is).
 */
export function learn(
  context: FenceContext,
  peer: PacketPeer,
  state: FrameState,
  view: number,
  handshake: boolean,
  nowMs: number,
): void {
  const known = peer.known(context);
  if (state === 'own') {
    if (handshake || known.answers(nowMs)) known.learn('own', nowMs);
    return;
  }
  if (handshake) known.learn(state === 'none' ? 'none' : 'foreign', nowMs);
  if (state !== 'none' || (view & VIEW.admitted) === 0 || (view & VIEW.foreign) !== 0) return;
  // Where everyone is admitted, made up may be whom the label did not prove and we did not send to.
  const isKnown = (view & VIEW.proven) !== 0 || context.admission().hasRules;
  if (handshake || isKnown || known.answers(nowMs)) known.unlabelled(nowMs);
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
