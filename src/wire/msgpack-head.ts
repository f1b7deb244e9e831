/** The head of a msgpack value: its family, and its number, length or count. Old and new spec. */
import type { CodecReason } from './codec-reason.ts';

export const FAMILY = { failed: 0, int: 1, bool: 2, nil: 3, raw: 4, array: 5, map: 6, other: 7 } as const;
export type Family = (typeof FAMILY)[keyof typeof FAMILY];

/** Where readHead leaves what it found; the caller owns it. */
export interface Head {
  /** The number, the length in bytes, or the count of entries. Integers beyond 2^53 are rounded. */
  value: number;
  /** Offset after the head. */
  next: number;
  /** When it failed: why, and where. */
  reason: CodecReason;
  at: number;
}

/** Bytes of the number after each format byte 0xc4..0xdf, 0 where the head is the format byte alone. */
const WIDTHS = [1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4] as const;

/** Reads the head at `at` into `head`. Total. */
export function readHead(bytes: Uint8Array, at: number, head: Head): Family {
  const byte = bytes[at];
  if (byte === undefined) return fail(head, 'truncated', at + 1);
  head.next = at + 1;
  if (byte < 0x80) return found(head, FAMILY.int, byte);
  if (byte < 0x90) return found(head, FAMILY.map, byte & 0x0f);
  if (byte < 0xa0) return found(head, FAMILY.array, byte & 0x0f);
  if (byte < 0xc0) return found(head, FAMILY.raw, byte & 0x1f);
  if (byte >= 0xe0) return found(head, FAMILY.int, byte - 0x100);
  if (byte === 0xc0) return found(head, FAMILY.nil, 0);
  if (byte === 0xc2 || byte === 0xc3) return found(head, FAMILY.bool, byte & 1);
  if (byte === 0xc1) return fail(head, 'field_type', at);
  const width = WIDTHS[byte - 0xc4] as number;
  head.next = at + 1 + width;
  if (bytes.length < head.next) return fail(head, 'truncated', head.next);
  return wideHead(byte, width, bytes, at + 1, head);
}

function wideHead(byte: number, width: number, bytes: Uint8Array, at: number, head: Head): Family {
  // fixext 1, 2, 4, 8, 16: a type byte and as many bytes of payload.
  if (byte >= 0xd4 && byte <= 0xd8) return found(head, FAMILY.other, 1 + 2 ** (byte - 0xd4));
  if (byte === 0xca || byte === 0xcb) return found(head, FAMILY.other, 0);
  const value = readUnsigned(bytes, at, width);
  if (byte >= 0xd0 && byte <= 0xd3) return found(head, FAMILY.int, signed(value, bytes, at, width));
  if (byte >= 0xcc && byte <= 0xcf) return found(head, FAMILY.int, value);
  if (byte <= 0xc6 || (byte >= 0xd9 && byte <= 0xdb)) return found(head, FAMILY.raw, value);
  if (byte <= 0xc9) return found(head, FAMILY.other, value + 1);
  return found(head, byte <= 0xdd ? FAMILY.array : FAMILY.map, value);
}

function readUnsigned(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + i] as number);
  return value;
}

/** `value` as two's complement. Eight bytes are put together from halves: their unsigned value may have been rounded. */
function signed(value: number, bytes: Uint8Array, at: number, width: number): number {
  if (width === 8) return (readUnsigned(bytes, at, 4) | 0) * 2 ** 32 + readUnsigned(bytes, at + 4, 4);
  return (bytes[at] as number) < 0x80 ? value : value - 2 ** (8 * width);
}

function found(head: Head, family: Family, value: number): Family {
  head.value = value;
  return family;
}

function fail(head: Head, reason: CodecReason, at: number): Family {
  head.reason = reason;
  head.at = at;
  return FAMILY.failed;
}
