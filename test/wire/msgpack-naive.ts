/** The msgpack reader as one would write it first: an object for every head and value. The fast one is held against it. */
import { type CodecFailure, failed, type Parsed } from '../../src/wire/codec-reason.ts';
import { MSGPACK_DEPTH_MAX, MSGPACK_ENTRIES_MAX } from '../../src/wire/limits.ts';
import type { FieldKind, Fields, ParsedStruct, Schema } from '../../src/wire/msgpack.ts';
import { decodeText } from '../../src/wire/text.ts';

const NO_BYTES = new Uint8Array(0);
const MAX = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff } as const;
const ZERO = { u8: 0, u16: 0, u32: 0, int: 0, bool: false, bytes: NO_BYTES, text: '' } as const;

/** A value's head: its family, and its number, length or count. `next` is the offset after the head. */
interface Head {
  readonly family: 'int' | 'bool' | 'nil' | 'raw' | 'array' | 'map' | 'other';
  readonly value: number;
  readonly next: number;
}

type HeadResult = Head | CodecFailure;

function isFailure(result: object): result is CodecFailure {
  return 'ok' in result && result.ok === false;
}

/** Bytes of the number after each format byte 0xc4..0xdf, 0 where the head is the format byte alone. */
const WIDTHS = [1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4] as const;

function readHead(bytes: Uint8Array, at: number): HeadResult {
  const byte = bytes[at];
  if (byte === undefined) return failed('truncated', at + 1);
  if (byte < 0x80) return { family: 'int', value: byte, next: at + 1 };
  if (byte < 0x90) return { family: 'map', value: byte & 0x0f, next: at + 1 };
  if (byte < 0xa0) return { family: 'array', value: byte & 0x0f, next: at + 1 };
  if (byte < 0xc0) return { family: 'raw', value: byte & 0x1f, next: at + 1 };
  if (byte >= 0xe0) return { family: 'int', value: byte - 0x100, next: at + 1 };
  if (byte === 0xc0) return { family: 'nil', value: 0, next: at + 1 };
  if (byte === 0xc2 || byte === 0xc3) return { family: 'bool', value: byte & 1, next: at + 1 };
  if (byte === 0xc1) return failed('field_type', at);
  const width = WIDTHS[byte - 0xc4] ?? 0;
  const next = at + 1 + width;
  if (bytes.length < next) return failed('truncated', next);
  return wideHead(byte, width, bytes, at, next);
}

function wideHead(byte: number, width: number, bytes: Uint8Array, at: number, next: number): HeadResult {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (byte >= 0xd0 && byte <= 0xd3) return { family: 'int', value: readSigned(view, at + 1, width), next };
  // fixext 1, 2, 4, 8, 16: a type byte and as many bytes of payload.
  if (byte >= 0xd4 && byte <= 0xd8) return { family: 'other', value: 1 + 2 ** (byte - 0xd4), next };
  if (byte === 0xca || byte === 0xcb) return { family: 'other', value: 0, next };
  const value = readUnsigned(view, at + 1, width);
  if (byte >= 0xcc && byte <= 0xcf) return { family: 'int', value, next };
  if (byte <= 0xc6 || (byte >= 0xd9 && byte <= 0xdb)) return { family: 'raw', value, next };
  if (byte <= 0xc9) return { family: 'other', value: value + 1, next };
  return { family: byte <= 0xdd ? 'array' : 'map', value, next };
}

function readUnsigned(view: DataView, at: number, width: number): number {
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at);
  if (width === 4) return view.getUint32(at);
  return Number(view.getBigUint64(at));
}

function readSigned(view: DataView, at: number, width: number): number {
  if (width === 1) return view.getInt8(at);
  if (width === 2) return view.getInt16(at);
  if (width === 4) return view.getInt32(at);
  return Number(view.getBigInt64(at));
}

/** Offset after the value at `at`, whatever it is. */
function skip(bytes: Uint8Array, at: number, depth: number): number | CodecFailure {
  if (depth > MSGPACK_DEPTH_MAX) return failed('depth_limit', at);
  const head = readHead(bytes, at);
  if (isFailure(head)) return head;
  if (head.family === 'raw' || head.family === 'other') {
    const end = head.next + head.value;
    return end > bytes.length ? failed('truncated', end) : end;
  }
  if (head.family !== 'array' && head.family !== 'map') return head.next;
  if (head.value > MSGPACK_ENTRIES_MAX) return failed('entries_limit', at);
  let next = head.next;
  for (let left = head.family === 'map' ? head.value * 2 : head.value; left > 0; left--) {
    const end = skip(bytes, next, depth + 1);
    if (typeof end !== 'number') return end;
    next = end;
  }
  return next;
}

interface Value {
  readonly value: number | boolean | string | Uint8Array;
  readonly end: number;
}

function readValue(bytes: Uint8Array, at: number, kind: FieldKind): Value | CodecFailure {
  const head = readHead(bytes, at);
  if (isFailure(head)) return head;
  const { family, value, next } = head;
  if (family === 'nil') return { value: ZERO[kind], end: next };
  if (kind === 'bytes' || kind === 'text') {
    const raw = family === 'array' ? readByteArray(bytes, head) : readRaw(bytes, at, head);
    return isFailure(raw) || kind === 'bytes' ? raw : { value: decodeText(raw.value), end: raw.end };
  }
  if (kind === 'bool') {
    if (family !== 'bool' && !(family === 'int' && (value === 0 || value === 1))) return failed('field_type', at);
    return { value: value === 1, end: next };
  }
  if (family !== 'int') return failed('field_type', at);
  const fits = kind === 'int' ? Number.isSafeInteger(value) : value >= 0 && value <= MAX[kind];
  return fits ? { value, end: next } : failed('field_range', at);
}

interface RawValue {
  readonly value: Uint8Array;
  readonly end: number;
}

function readRaw(bytes: Uint8Array, at: number, { family, value, next }: Head): RawValue | CodecFailure {
  if (family !== 'raw') return failed('field_type', at);
  const end = next + value;
  return end > bytes.length ? failed('truncated', end) : { value: bytes.subarray(next, end), end };
}

/** A byte string or text written as an array of small integers, which go-msgpack takes too. */
function readByteArray(bytes: Uint8Array, { value: count, next }: Head): RawValue | CodecFailure {
  if (count > MSGPACK_ENTRIES_MAX) return failed('entries_limit', next);
  const out = new Uint8Array(count);
  let at = next;
  for (let i = 0; i < count; i++) {
    const element = readValue(bytes, at, 'u8');
    if (isFailure(element)) return element;
    out[i] = element.value as number;
    at = element.end;
  }
  return { value: out, end: at };
}

/**
 * Reads the struct at `at`. Total. `bytes` fields are views of the input's memory. A field of the wrong kind, or a number outside
 * its Go type, refuses the whole struct, as go-msgpack does; of a repeated key the last value counts.
 */
export function decodeStruct<S extends Schema>(bytes: Uint8Array, at: number, schema: S): Parsed<ParsedStruct<S>> {
  const head = readHead(bytes, at);
  if (isFailure(head)) return head;
  if (head.family !== 'map' && head.family !== 'array' && head.family !== 'nil') return failed('not_a_map', at);
  if (head.value > MSGPACK_ENTRIES_MAX) return failed('entries_limit', at);
  const names = Object.keys(schema.fields);
  const fields: Record<string, Value['value']> = {};
  for (const name of names) fields[name] = ZERO[schema.fields[name] as FieldKind];
  let next = head.next;
  for (let i = 0; i < head.value; i++) {
    let name = names[i];
    if (head.family === 'map') {
      const key = readValue(bytes, next, 'text');
      if (isFailure(key)) return key;
      name = key.value as string;
      next = key.end;
    }
    const kind = name !== undefined && Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
    if (name === undefined || kind === undefined) {
      const end = skip(bytes, next, 1);
      if (typeof end !== 'number') return end;
      next = end;
      continue;
    }
    const entry = readValue(bytes, next, kind);
    if (isFailure(entry)) return entry;
    fields[name] = entry.value;
    next = entry.end;
  }
  return { ok: true, value: { fields: fields as Fields<S>, end: next } };
}
