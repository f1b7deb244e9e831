/**
 * The label header in front of a packet: `244 len8 label[len8] rest`. Mirrors memberlist label.go
 * (`AddLabelHeaderToPacket`, `RemoveLabelHeaderFromPacket`); the second header that ingestPacket and handleCommand refuse later
 * (net.go) is refused here.
 */
import { LABEL_HEADER_BYTES, LABEL_MAX_BYTES } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import type { Decoded } from './reason.ts';

/** Where the parts of a packet are. `label` is a view of the packet's memory, empty when there is no header. */
export interface PacketLabel {
  readonly label: Uint8Array;
  /** Offset of the first byte after the header; 0 without one. */
  readonly bodyAt: number;
}

const NO_LABEL: Decoded<PacketLabel> = { ok: true, value: { label: new Uint8Array(0), bodyAt: 0 } };
const EMPTY: Decoded<PacketLabel> = { ok: false, reason: 'label_empty', at: 1 };

/** Reads the header of `packet` without copying. An empty packet has no label (label.go: "can't possibly be labeled"). */
export function peekPacketLabel(packet: Uint8Array): Decoded<PacketLabel> {
  if (packet[0] !== MESSAGE_TYPE.hasLabel) return NO_LABEL;
  const size = packet[1];
  if (size === undefined) return { ok: false, reason: 'label_truncated', at: packet.length };
  if (size === 0) return EMPTY;
  const bodyAt = LABEL_HEADER_BYTES + size;
  if (packet.length < bodyAt) return { ok: false, reason: 'label_truncated', at: packet.length };
  if (packet[bodyAt] === MESSAGE_TYPE.hasLabel) return { ok: false, reason: 'label_double', at: bodyAt };
  return { ok: true, value: { label: packet.subarray(LABEL_HEADER_BYTES, bodyAt), bodyAt } };
}

/** The header for `label` (1..255 bytes), a new buffer that the caller owns. */
export function encodeLabelHeader(label: Uint8Array): Uint8Array {
  if (label.length < 1 || label.length > LABEL_MAX_BYTES) {
    throw new RangeError(`a label has 1 to ${LABEL_MAX_BYTES} bytes, not ${label.length}`);
  }
  const out = new Uint8Array(LABEL_HEADER_BYTES + label.length);
  out[0] = MESSAGE_TYPE.hasLabel;
  out[1] = label.length;
  out.set(label, LABEL_HEADER_BYTES);
  return out;
}

/** `header` (from encodeLabelHeader) and `packet` in a new buffer that the caller owns. */
export function addPacketLabel(packet: Uint8Array, header: Uint8Array): Uint8Array {
  const out = new Uint8Array(header.length + packet.length);
  out.set(header);
  out.set(packet, header.length);
  return out;
}

/** Whether two byte strings are equal; labels are compared as bytes, never as text. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
