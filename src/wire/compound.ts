/**
 * Several messages in one packet: `7 n8 len16[n8] part[n8]`. Mirrors memberlist util.go `decodeCompoundMessage`, whose leniency is
 * kept exactly (a differing parser is a bypass): when a part is cut short, the whole parts before it count, and what follows the
 * last part is ignored.
 */
import { failed, type Parsed } from './codec-reason.ts';
import { COMPOUND_PART_MAX_BYTES, COMPOUND_PARTS_MAX } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';

export interface Compound {
  /** Views of the packet's memory. A part may be empty: memberlist before v0.2.4 dies of one. */
  readonly parts: readonly Uint8Array[];
  /** Parts that were announced and are missing or cut short. */
  readonly truncated: number;
}

/** Reads a compound message, its type byte included. Total. */
export function decodeCompound(message: Uint8Array): Parsed<Compound> {
  if (message[0] !== MESSAGE_TYPE.compound) return failed(message.length === 0 ? 'empty' : 'type_unexpected', 0);
  const count = message[1];
  if (count === undefined) return failed('truncated', 2);
  let at = 2 + 2 * count;
  if (message.length < at) return failed('truncated', at);
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const size = ((message[2 + 2 * i] ?? 0) << 8) | (message[3 + 2 * i] ?? 0);
    if (message.length < at + size) break;
    parts.push(message.subarray(at, at + size));
    at += size;
  }
  return { ok: true, value: { parts, truncated: count - parts.length } };
}

/** Bytes that a compound of these parts takes: what a sender counts against its packet size. */
export function compoundBytes(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + 2 + part.length, 2);
}

/** One packet of 1 to 255 parts, a new buffer. Throws a RangeError beyond that: the parts are our own. */
export function encodeCompound(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length < 1 || parts.length > COMPOUND_PARTS_MAX) {
    throw new RangeError(`a compound has 1 to ${COMPOUND_PARTS_MAX} parts, not ${parts.length}`);
  }
  const out = new Uint8Array(compoundBytes(parts));
  out[0] = MESSAGE_TYPE.compound;
  out[1] = parts.length;
  let at = 2 + 2 * parts.length;
  for (const [i, part] of parts.entries()) {
    if (part.length > COMPOUND_PART_MAX_BYTES) throw new RangeError(`a part of ${part.length} bytes is too long`);
    out[2 + 2 * i] = part.length >> 8;
    out[3 + 2 * i] = part.length & 0xff;
    out.set(part, at);
    at += part.length;
  }
  return out;
}
