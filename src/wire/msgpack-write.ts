/**
 * Writes structs as hashicorp/go-msgpack does in the old spec, byte for byte: keys in alphabetical order, names and byte strings as
 * raw, no bytes as nil, integers in the shortest form.
 */
import type { FieldKind, Fields, Schema } from './msgpack.ts';
import { encodeText } from './text.ts';

/**
 * The bytes of `fields`, a new buffer. Throws a RangeError when a number does not fit its Go type: the values are our own, never a
 * peer's.
 */
export function encodeStruct<S extends Schema>(fields: Fields<S>, schema: S): Uint8Array {
  const values = fields as Record<string, number | boolean | string | Uint8Array>;
  const written = Object.entries(schema.fields)
    .filter(([name]) => schema.omitEmpty?.has(name) !== true || !isZero(values[name]))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  // memberlist's structs have at most nine fields; a fixmap holds fifteen.
  const parts: Uint8Array[] = [Uint8Array.of(0x80 | written.length)];
  for (const [name, kind] of written) {
    parts.push(encodeRaw(encodeText(name)), encodeValue(name, kind, values[name]));
  }
  return Buffer.concat(parts);
}

function isZero(value: number | boolean | string | Uint8Array | undefined): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === undefined || value === 0 || value === '' || value === false;
}

function encodeValue(name: string, kind: FieldKind, value: unknown): Uint8Array {
  if (kind === 'bool') return Uint8Array.of(value === true ? 0xc3 : 0xc2);
  if (kind === 'bytes') return isZero(value as Uint8Array) ? Uint8Array.of(0xc0) : encodeRaw(value as Uint8Array);
  if (kind === 'text') return encodeRaw(encodeText(value as string));
  const limit = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, int: 0xffff_ffff }[kind];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > limit) {
    throw new RangeError(`${name} must be an integer from 0 to ${limit}, not ${String(value)}`);
  }
  return encodeUnsigned(value);
}

function encodeUnsigned(value: number): Uint8Array {
  if (value < 0x80) return Uint8Array.of(value);
  if (value <= 0xff) return Uint8Array.of(0xcc, value);
  if (value <= 0xffff) return Uint8Array.of(0xcd, value >>> 8, value & 0xff);
  return Uint8Array.of(0xce, value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** raw16 and raw32 follow fixraw at once: str8 (0xd9) does not exist in the old spec. */
function encodeRaw(bytes: Uint8Array): Uint8Array {
  const size = bytes.length;
  if (size < 32) return Buffer.concat([Uint8Array.of(0xa0 | size), bytes]);
  if (size <= 0xffff) return Buffer.concat([Uint8Array.of(0xda, size >>> 8, size & 0xff), bytes]);
  const head = Uint8Array.of(0xdb, size >>> 24, (size >>> 16) & 0xff, (size >>> 8) & 0xff, size & 0xff);
  return Buffer.concat([head, bytes]);
}
