/** One packet through the core, the same on every path: label, verdict, shield, and what is sent of it. */
import { type Direction, type FrameState, labelStateOf } from '../policy/facts.ts';
import { peekPacketLabel } from '../wire/label.ts';
import type { Transport } from '../wire/transport.ts';
import type { Endpoint, FenceContext } from './engine.ts';
import { judge, judgeOrWait, type Keep, stateOfLabel } from './judge.ts';
import { PacketInside } from './packet-inside.ts';

const NO_BYTES = new Uint8Array(0);

/** What is to be sent: `prefix` (a label header, or nothing), then `body`. Views of the packet or of the label header, or new buffers. */
export interface PassingPacket {
  readonly prefix: Uint8Array;
  readonly body: Uint8Array;
}

/**
 * Judges a packet and says what is to be sent of it; undefined when nothing is, which is counted with its reason. Where `keep` is given
 * the packet may have to wait: then it is called, nothing is counted or learned yet, and what it returned is called once, to judge the
 * packet anew. An empty packet has no label (memberlist label.go); what it becomes follows from that.
 */
export function passPacket(
  context: FenceContext,
  labelHeader: Uint8Array,
  packet: Uint8Array,
  direction: Direction,
  transport: Transport,
  peer: Endpoint,
  keep?: Keep,
): PassingPacket | undefined {
  const peeked = peekPacketLabel(packet);
  const label = peeked.ok ? peeked.value.label : NO_BYTES;
  const body = peeked.ok && peeked.value.bodyAt > 0 ? packet.subarray(peeked.value.bodyAt) : packet;
  const state: FrameState = peeked.ok ? stateOfLabel(label, context.label) : peeked.reason;
  // Written out below: spreading it costs ten microseconds a packet.
  const where = { direction, transport, kind: 'packet' } as const;
  const source = {
    direction,
    transport,
    kind: where.kind,
    atMs: context.now(),
    peer,
    labelState: labelStateOf(state),
    label,
    rejected: false,
    answer: false,
  };
  const inner = new PacketInside(context, source, body);
  const frame = {
    direction,
    transport,
    kind: where.kind,
    state,
    peer,
    label,
    bytes: packet.length,
    handshake: transport !== 'native',
    look: () => inner.look(),
    neutral: () => inner.isProbe(),
  };
  const decision = keep === undefined ? judge(context, frame) : judgeOrWait(context, frame, keep);
  if (decision === undefined) return undefined;
  const { verdict, rewrite } = decision;
  const rejected = verdict === 'reject';
  context.inside.packet(rejected ? { ...source, rejected } : source, body);
  if (rejected) return undefined;
  context.tally.bytes(where, packet.length);
  // `observe` changes nothing, also of what the rules of later stages would.
  if (context.snapshot().settings.stage === 'observe') return { prefix: NO_BYTES, body: packet };
  const labelled = rewrite === 'add' || (rewrite === 'keep' && state === 'own');
  const kept = inner.rewrite(labelled);
  if (kept === undefined) return undefined;
  if (kept === body && rewrite === 'keep') return { prefix: NO_BYTES, body: packet };
  return { prefix: labelled ? labelHeader : NO_BYTES, body: kept };
}
