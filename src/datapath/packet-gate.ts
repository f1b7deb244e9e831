/**
 * One packet through the core, the same on every path: label, verdict, shield, and what is sent of it. Works on bytes where they are;
 * for a packet that passes unchanged nothing is copied.
 */
import type { Decision } from '../policy/decide.ts';
import { type Direction, type FrameState, labelStateOf } from '../policy/facts.ts';
import { encodeLabelHeader, peekPacketLabel } from '../wire/label.ts';
import type { Transport } from '../wire/transport.ts';
import type { FenceContext } from './engine.ts';
import { judge, judgeOrWait, type Keep, stateOfLabel } from './judge.ts';
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
  const body = memory.subarray(at, at + length);
  return prefixed ? Buffer.concat([header, body]) : body;
}

class Gate implements PacketGate {
  readonly header: Uint8Array;
  memory: Uint8Array = NO_BYTES;
  at = 0;
  length = 0;
  prefixed = false;
  readonly #context: FenceContext;
  readonly #direction: Direction;
  readonly #transport: Transport;

  constructor(context: FenceContext, direction: Direction, transport: Transport) {
    this.#context = context;
    this.#direction = direction;
    this.#transport = transport;
    this.header = encodeLabelHeader(context.label);
  }

  pass(memory: Uint8Array, at: number, length: number, peer: PacketPeer, nowMs: number, keep?: Keep): boolean {
    const context = this.#context;
    const packet = memory.subarray(at, at + length);
    const peeked = peekPacketLabel(packet);
    const label = peeked.ok ? peeked.value.label : NO_BYTES;
    const body = peeked.ok && peeked.value.bodyAt > 0 ? packet.subarray(peeked.value.bodyAt) : packet;
    const state: FrameState = peeked.ok ? stateOfLabel(label, context.label) : peeked.reason;
    const where = { direction: this.#direction, transport: this.#transport, kind: 'packet' } as const;
    const source = {
      ...where,
      atMs: nowMs,
      peer,
      labelState: labelStateOf(state),
      label,
      rejected: false,
      answer: false,
    };
    const inner = new PacketInside(context, source, body);
    const frame = {
      ...where,
      state,
      peer,
      label,
      bytes: length,
      handshake: this.#transport !== 'native',
      look: () => inner.look(),
      neutral: () => inner.isProbe(),
    };
    const decision = keep === undefined ? judge(context, frame) : judgeOrWait(context, frame, keep);
    if (decision === undefined) return false;
    const rejected = decision.verdict === 'reject';
    context.inside.packet(rejected ? { ...source, rejected } : source, body);
    if (rejected) return false;
    context.tally.bytes(where, length);
    this.memory = memory;
    this.at = at;
    this.length = length;
    this.prefixed = false;
    // `observe` changes nothing, also of what the rules of later stages would.
    if (context.snapshot().settings.stage === 'observe') return true;
    return this.#rewrite(inner, decision, state, body);
  }

  #rewrite(inner: PacketInside, { rewrite }: Decision, state: FrameState, body: Uint8Array): boolean {
    const labelled = rewrite === 'add' || (rewrite === 'keep' && state === 'own');
    const kept = inner.rewrite(labelled);
    if (kept === undefined) return false;
    if (kept === body && rewrite === 'keep') return true;
    this.prefixed = labelled;
    if (kept === body) {
      this.at += this.length - body.length;
      this.length = body.length;
      return true;
    }
    this.memory = kept;
    this.at = 0;
    this.length = kept.length;
    return true;
  }
}
