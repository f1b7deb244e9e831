/** One datagram through the core: peek at its label, judge it, and give it the label that the decision says. */
import type { Direction } from '../policy/facts.ts';
import { addPacketLabel, peekPacketLabel } from '../wire/label.ts';
import { UDP_PAYLOAD_MAX_BYTES } from '../wire/limits.ts';
import type { Endpoint, FenceContext } from './engine.ts';
import { judge, stateOfLabel } from './judge.ts';

const NO_BYTES = new Uint8Array(0);

/** Where the datagrams of a fence are counted. */
export const PACKET_TRANSPORT = 'native';

/**
 * Judges a datagram and returns what is to be sent: the packet itself, a view of it, or a new buffer; undefined when nothing is, which
 * is counted with its reason. An empty datagram has no label (memberlist label.go); what it becomes follows from that.
 */
export function admitPacket(
  context: FenceContext,
  labelHeader: Uint8Array,
  packet: Uint8Array,
  direction: Direction,
  peer: Endpoint,
): Uint8Array | undefined {
  const peeked = peekPacketLabel(packet);
  const label = peeked.ok ? peeked.value.label : NO_BYTES;
  const where = { direction, transport: PACKET_TRANSPORT, kind: 'packet' } as const;
  const { verdict, rewrite } = judge(context, {
    ...where,
    state: peeked.ok ? stateOfLabel(label, context.label) : peeked.reason,
    peer,
    label,
    bytes: packet.length,
    handshake: false,
  });
  if (verdict === 'reject') return undefined;
  context.tally.bytes(where, packet.length);
  if (rewrite === 'strip' && peeked.ok) return packet.subarray(peeked.value.bodyAt);
  if (rewrite !== 'add') return packet;
  if (packet.length + labelHeader.length > UDP_PAYLOAD_MAX_BYTES) {
    context.tally.dropped('send_failed');
    return undefined;
  }
  return addPacketLabel(packet, labelHeader);
}
