/**
 * One packet through the core, the same on every path: label, verdict, shield, and what is sent of it. Works on bytes where they are;
 * for a packet that passes unchanged nothing is copied.
 */
import { type Decision, decide, PEER_VIEWS, type Snapshot, STATE_INDEX } from '../policy/decide.ts';
import { type Direction, FRAME_STATES, type FrameState, labelStateOf, type PeerView } from '../policy/facts.ts';
import type { ShieldReason } from '../policy/reason.ts';
import { type FrameCells, frameCells } from '../policy/tally.ts';
import { isUnread } from '../ring/packet-interest.ts';
import { encodeLabelHeader, peekPacketLabel } from '../wire/label.ts';
import { LABEL_HEADER_BYTES } from '../wire/limits.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import type { Transport } from '../wire/transport.ts';
import type { FenceContext } from './engine.ts';
import { isReported, type Keep, learn, report, stateOfLabel, strangerOf, teaches, turnsOnPeer } from './judge.ts';
import { PacketInside } from './packet-inside.ts';
import type { PacketPeer } from './packet-peer.ts';

const NO_BYTES = new Uint8Array(0);

/** The gate of one direction of one fence in one thread. What it says of a packet holds until the next one. */
export interface PacketGate {
  /** The own label header, to be sent before the body where `prefixed` says so. Never changed. */
  readonly header: Uint8Array;
  /** Where the body to send is: the packet's own memory, or a new buffer where something in it had to change. */
  readonly memory: Uint8Array;
  readonly at: number;
  readonly length: number;
  /** Whether `header` goes before the body. */
  readonly prefixed: boolean;
  /**
   * Judges the packet of `length` bytes at `at` of `memory`, counts it and learns from it. True: what the fields above say is to be sent.
   * False: nothing is, which is counted with its reason, unless it waits. Where `keep` is given the packet may have to wait: then it is
   * called, nothing is counted or learned yet, and what it returned is called once, to judge a copy of the packet anew, without
   * `keep`. `nowMs`: by the context's clock when its batch was there; for one that waited, when it is judged. An empty packet has no
   * label (memberlist label.go); what it becomes follows from that.
   */
  pass(memory: Uint8Array, at: number, length: number, peer: PacketPeer, nowMs: number, keep?: Keep): boolean;
}

/** `transport`: what the packets travel in; `native` is UDP, anything else a connection. */
export function createPacketGate(context: FenceContext, direction: Direction, transport: Transport): PacketGate {
  return new Gate(context, direction, transport);
}

/** What a gate says is to be sent, in one piece: a view where nothing goes before the body, otherwise a new buffer. */
export function passedPacket({ header, memory, at, length, prefixed }: PacketGate): Uint8Array {
  const body = length === memory.length ? memory : memory.subarray(at, at + length);
  return prefixed ? Buffer.concat([header, body]) : body;
}

/** All that follows from a decision about packets of one state and view, worked out when the first one comes. */
interface Plan {
  readonly state: FrameState;
  readonly decision: Decision;
  readonly cells: FrameCells;
  readonly rejected: boolean;
  /** It passes if what is inside of it may. */
  readonly looks: boolean;
  readonly onPeer: boolean;
  readonly teaches: boolean;
  readonly notesSent: boolean;
  readonly reported: boolean;
  /** It is sent as it came, whatever the rules of later stages would say. */
  readonly observed: boolean;
  readonly keeps: boolean;
  readonly labelled: boolean;
}

class Gate implements PacketGate {
  readonly header: Uint8Array;
  memory: Uint8Array = NO_BYTES;
  at = 0;
  length = 0;
  prefixed = false;
  readonly #context: FenceContext;
  readonly #way: { readonly direction: Direction; readonly transport: Transport; readonly kind: 'packet' };
  readonly #handshake: boolean;
  readonly #inside: PacketInside;
  #snapshot: Snapshot | undefined;
  /** Of the snapshot, by state and view. */
  #plans: (Plan | undefined)[] = [];
  /** Of the packet at hand. */
  #state: FrameState = 'none';
  #bodyAt = 0;

  constructor(context: FenceContext, direction: Direction, transport: Transport) {
    this.#context = context;
    this.#way = { direction, transport, kind: 'packet' };
    this.#handshake = transport !== 'native';
    this.#inside = new PacketInside(context, this.#way);
    this.header = encodeLabelHeader(context.label);
  }

  pass(memory: Uint8Array, at: number, length: number, peer: PacketPeer, nowMs: number, keep?: Keep): boolean {
    const context = this.#context;
    if (keep !== undefined && context.starting() && this.#waits(peer, length, keep)) return false;
    this.#readLabel(memory, at, at + length);
    const inside = this.#inside;
    inside.take(memory, this.#bodyAt, at + length, peer);
    const view = peer.view(context, nowMs);
    let plan = this.#planOf(view);
    if (plan.looks) {
      const harm = inside.look();
      if (harm !== undefined) plan = this.#makePlan(view, harm);
    }
    if (keep !== undefined && plan.onPeer && this.#waits(peer, length, keep)) return false;
    const { rejected } = plan;
    context.tally.counted(plan.cells, rejected ? 0 : length);
    if (plan.teaches && (plan.state === 'foreign' || !inside.isProbe())) {
      learn(context, peer, plan.state, view, this.#handshake, nowMs);
    }
    if (plan.notesSent) peer.known(context).sent(nowMs);
    if (plan.reported) this.#report(plan, memory, at, length, peer, nowMs);
    const end = at + length;
    if (this.#isNews(plan, memory, end, peer, nowMs) && context.inside.room(rejected, end - this.#bodyAt)) {
      this.#offer(plan, memory, at, end, peer, nowMs);
    }
    return !rejected && this.#send(plan, memory, at, length);
  }

  /** Where the label is, and what that makes of the packet. */
  #readLabel(memory: Uint8Array, at: number, end: number): void {
    if (at >= end || memory[at] !== MESSAGE_TYPE.hasLabel) {
      this.#state = 'none';
      this.#bodyAt = at;
      return;
    }
    const { header } = this;
    const bodyAt = at + header.length;
    let isOwn = bodyAt <= end && (bodyAt === end || memory[bodyAt] !== MESSAGE_TYPE.hasLabel);
    for (let i = 1; isOwn && i < header.length; i++) isOwn = memory[at + i] === header[i];
    if (isOwn) {
      this.#state = 'own';
      this.#bodyAt = bodyAt;
      return;
    }
    const peeked = peekPacketLabel(memory.subarray(at, end));
    this.#state = peeked.ok ? stateOfLabel(peeked.value.label, this.#context.label) : peeked.reason;
    this.#bodyAt = peeked.ok ? at + peeked.value.bodyAt : at;
  }

  #planOf(view: number): Plan {
    const snapshot = this.#context.snapshot();
    if (snapshot !== this.#snapshot) {
      this.#snapshot = snapshot;
      this.#plans = new Array<Plan | undefined>(FRAME_STATES.length * PEER_VIEWS.length).fill(undefined);
    }
    const place = STATE_INDEX[this.#state] * PEER_VIEWS.length + view;
    const known = this.#plans[place];
    if (known !== undefined) return known;
    const plan = this.#makePlan(view, undefined);
    this.#plans[place] = plan;
    return plan;
  }

  #makePlan(view: number, harm: ShieldReason | undefined): Plan {
    const { direction } = this.#way;
    const snapshot = this.#context.snapshot();
    const { stage, shield } = snapshot.settings;
    const state = this.#state;
    const decision = decide({ direction, state, harm }, PEER_VIEWS[view] as PeerView, snapshot);
    const { reason, rewrite } = decision;
    const rejected = decision.verdict === 'reject';
    return {
      state,
      decision,
      cells: frameCells(this.#way, state, decision),
      rejected,
      looks: !rejected && shield && harm === undefined,
      onPeer: turnsOnPeer(reason),
      teaches: teaches(direction, state),
      notesSent: !rejected && direction === 'outbound',
      reported: isReported(this.#context, decision),
      observed: stage === 'observe',
      keeps: rewrite === 'keep',
      labelled: rewrite === 'add' || (rewrite === 'keep' && state === 'own'),
    };
  }

  #waits(peer: PacketPeer, bytes: number, keep: Keep): boolean {
    let again: (() => void) | undefined;
    const stranger = strangerOf(peer, this.#way.direction, this.#handshake);
    if (!this.#context.doubts.wait(stranger, bytes, () => again?.())) return false;
    again = keep();
    return true;
  }

  /** The label that the packet carries. */
  #label(memory: Uint8Array, at: number): Uint8Array {
    if (this.#bodyAt === at) return NO_BYTES;
    return this.#state === 'own' ? this.#context.label : memory.subarray(at + LABEL_HEADER_BYTES, this.#bodyAt);
  }

  #report(plan: Plan, memory: Uint8Array, at: number, bytes: number, peer: PacketPeer, nowMs: number): void {
    const label = this.#label(memory, at);
    const frame = { ...this.#way, state: plan.state, peer, label, bytes, handshake: this.#handshake };
    report(this.#context, frame, plan.decision, nowMs);
  }

  /**
   * Whether inspection learns from the packet at hand: from a peer's message that it does not read, at most that the peer speaks so. What is
   * reported, as all that is rejected is, is always shown.
   */
  #isNews({ state, reported }: Plan, memory: Uint8Array, end: number, peer: PacketPeer, nowMs: number): boolean {
    const isRepeated = this.#way.direction === 'inbound' && !reported && peer.wasTold(state, nowMs);
    return !isRepeated || !isUnread(this.#way, memory, this.#bodyAt, end);
  }

  #offer({ state, rejected }: Plan, memory: Uint8Array, at: number, end: number, of: PacketPeer, atMs: number): void {
    const { direction, transport, kind } = this.#way;
    const { address, port } = of;
    if (direction === 'inbound') of.told(rejected ? undefined : state, atMs);
    const label = this.#label(memory, at);
    const labelState = labelStateOf(state);
    const peer = { address, port };
    const source = { atMs, direction, transport, kind, peer, labelState, label, rejected, answer: false };
    this.#context.inside.packet(source, memory, this.#bodyAt, end);
  }

  /** Says what is to be sent of a packet that passes; false when nothing is left of it. */
  #send({ observed, keeps, labelled }: Plan, memory: Uint8Array, at: number, length: number): boolean {
    const inside = this.#inside;
    const changes = !observed && inside.mayChange();
    const kept = changes ? inside.rewrite(labelled) : undefined;
    if (changes && kept === undefined) return false;
    if (kept !== undefined && kept !== inside.body()) {
      this.memory = kept;
      this.at = 0;
      this.length = kept.length;
      this.prefixed = labelled;
      return true;
    }
    const whole = observed || keeps;
    this.memory = memory;
    this.at = whole ? at : this.#bodyAt;
    this.length = length - (this.at - at);
    this.prefixed = labelled && !whole;
    return true;
  }
}
