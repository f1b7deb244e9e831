/**
 * The part of MessagePack that memberlist speaks: one struct a body, written by hashicorp/go-msgpack as a map from Go field names
 * to values, in the old spec (byte strings and text are both "raw"). The reader takes raw, str and bin alike, keys in any order,
 * unknown and absent keys, nil for a zero value, and the array form of a struct (fields by position), as go-msgpack does.
 *
 * Nothing is allocated on behalf of a length before the bytes are there; depth and entries are bounded (limits.ts). Heads are read
 * by msgpack-head.ts, whose results stand in module variables: an object for every head would cost more than the reading.
 */
import { type CodecFailure, type CodecReason, failed, type Parsed } from './codec-reason.ts';
import { MSGPACK_DEPTH_MAX, MSGPACK_ENTRIES_MAX } from './limits.ts';
import { FAMILY, type Head, readHead } from './msgpack-head.ts';
import { decodeText } from './text.ts';

/** What a field holds. `int` is Go's int: any integer that a double holds exactly; `text` may be any bytes (see decodeText). */
export type FieldKind = 'u8' | 'u16' | 'u32' | 'int' | 'bool' | 'bytes' | 'text';

/** A Go struct: its fields in declaration order. `omitEmpty` names those written only when they are not zero. */
export interface Schema {
  readonly fields: Readonly<Record<string, FieldKind>>;
  readonly omitEmpty?: ReadonlySet<string>;
  /** Stands in every struct read as `type`, besides the fields. */
  readonly type?: string;
}

type FieldValue<K extends FieldKind> = K extends 'bool'
  ? boolean
  : K extends 'bytes'
    ? Uint8Array
    : K extends 'text'
      ? string
      : number;

/** A struct as an object: every field present, zero when the map left it out. */
export type Fields<S extends Schema> = { -readonly [N in keyof S['fields']]: FieldValue<S['fields'][N]> };

export interface ParsedStruct<S extends Schema> {
  readonly fields: Fields<S>;
  /** Offset of the first byte after the struct. */
  readonly end: number;
}

type Value = number | boolean | string | Uint8Array;

const NO_BYTES = new Uint8Array(0);
const MAX = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, int: Number.MAX_SAFE_INTEGER } as const;
const MIN = { u8: 0, u16: 0, u32: 0, int: Number.MIN_SAFE_INTEGER } as const;
const ZERO = { u8: 0, u16: 0, u32: 0, int: 0, bool: false, bytes: NO_BYTES, text: '' } as const;

/** A schema made ready for reading: names and kinds by position, keys as bytes, and an object of zeros to copy. */
interface Plan {
  readonly names: readonly string[];
  readonly kinds: readonly FieldKind[];
  readonly keys: readonly Uint8Array[];
  readonly zero: Readonly<Record<string, Value>>;
}

const plans = new WeakMap<Schema, Plan>();

function planOf(schema: Schema): Plan {
  const known = plans.get(schema);
  if (known !== undefined) return known;
  const names = Object.keys(schema.fields);
  const kinds = names.map((name) => schema.fields[name] as FieldKind);
  const plan = {
    names,
    kinds,
    keys: names.map((name) => new Uint8Array(Buffer.from(name, 'latin1'))),
    zero: {
      ...(schema.type === undefined ? {} : { type: schema.type }),
      ...Object.fromEntries(names.map((name, i) => [name, ZERO[kinds[i] as FieldKind]])),
    },
  };
  plans.set(schema, plan);
  return plan;
}

/** Of the value read last: what it was, and where it ended; `failure` is set when a reader gave FAILED. */
let end = 0;
let failure: CodecFailure = failed('truncated', 0);
const FAILED = -1;
const head: Head = { value: 0, next: 0, at: 0, reason: 'truncated' };

function fail(reason: CodecReason, at: number): typeof FAILED {
  failure = failed(reason, at);
  return FAILED;
}

/** The family of the head at `at`, or FAILED; its number and end are in `head`. */
function family(bytes: Uint8Array, at: number): number {
  const found = readHead(bytes, at, head);
  return found === FAMILY.failed ? fail(head.reason, head.at) : found;
}

/** Offset after the value at `at`, whatever it is, or FAILED. */
function skip(bytes: Uint8Array, at: number, depth: number): number {
  if (depth > MSGPACK_DEPTH_MAX) return fail('depth_limit', at);
  const found = family(bytes, at);
  if (found === FAILED) return FAILED;
  const { value, next } = head;
  if (found === FAMILY.raw || found === FAMILY.other) {
    return next + value > bytes.length ? fail('truncated', next + value) : next + value;
  }
  if (found !== FAMILY.array && found !== FAMILY.map) return next;
  if (value > MSGPACK_ENTRIES_MAX) return fail('entries_limit', at);
  let to = next;
  for (let left = found === FAMILY.map ? value * 2 : value; left > 0; left--) {
    to = skip(bytes, to, depth + 1);
    if (to === FAILED) return FAILED;
  }
  return to;
}

/** The value at `at`, or undefined with `failure`; `end` is where it ended. */
function readValue(bytes: Uint8Array, at: number, kind: FieldKind): Value | undefined {
  const found = family(bytes, at);
  if (found === FAILED) return undefined;
  const { value, next } = head;
  end = next;
  if (found === FAMILY.nil) return ZERO[kind];
  if (kind === 'bytes' || kind === 'text') {
    if (found === FAMILY.raw) {
      end = next + value;
      if (end > bytes.length) return refuse('truncated', end);
      return kind === 'text' ? decodeText(bytes, next, end) : value === 0 ? NO_BYTES : bytes.subarray(next, end);
    }
    const list = found === FAMILY.array ? readByteArray(bytes, next, value) : refuse('field_type', at);
    return list === undefined || kind === 'bytes' ? list : decodeText(list, 0, list.length);
  }
  if (kind === 'bool') {
    const isBool = found === FAMILY.bool || (found === FAMILY.int && (value === 0 || value === 1));
    return isBool ? value === 1 : refuse('field_type', at);
  }
  if (found !== FAMILY.int) return refuse('field_type', at);
  return value >= MIN[kind] && value <= MAX[kind] ? value : refuse('field_range', at);
}

function refuse(reason: CodecReason, at: number): undefined {
  fail(reason, at);
  return undefined;
}

/** A byte string or text written as an array of small integers, which go-msgpack takes too. */
function readByteArray(bytes: Uint8Array, next: number, count: number): Uint8Array | undefined {
  if (count > MSGPACK_ENTRIES_MAX) return refuse('entries_limit', next);
  const out = new Uint8Array(count);
  let at = next;
  for (let i = 0; i < count; i++) {
    const element = readValue(bytes, at, 'u8');
    if (element === undefined) return undefined;
    out[i] = element as number;
    at = end;
  }
  end = at;
  return out;
}

/** Position of the field whose key is at `at` (-1: none of ours), or undefined with `failure`; `end` is where the key ended. */
function readKey(bytes: Uint8Array, at: number, plan: Plan): number | undefined {
  const byte = bytes[at] as number;
  // A fixraw, as every memberlist writes it: compared where it lies.
  const size = byte & 0x1f;
  if ((byte & 0xe0) === 0xa0 && at + 1 + size <= bytes.length) {
    end = at + 1 + size;
    for (let i = 0; i < plan.keys.length; i++) if (isKey(bytes, at + 1, size, plan.keys[i] as Uint8Array)) return i;
    return -1;
  }
  const name = readValue(bytes, at, 'text');
  return name === undefined ? undefined : plan.names.indexOf(name as string);
}

function isKey(bytes: Uint8Array, at: number, size: number, key: Uint8Array): boolean {
  if (key.length !== size) return false;
  for (let i = 0; i < size; i++) if (bytes[at + i] !== key[i]) return false;
  return true;
}

/** Fills `into` from the struct at `at`; its end, or FAILED. */
function readStruct(bytes: Uint8Array, at: number, plan: Plan, into: Record<string, Value>): number {
  const found = family(bytes, at);
  if (found === FAILED) return FAILED;
  const { value: count, next: first } = head;
  if (found !== FAMILY.map && found !== FAMILY.array && found !== FAMILY.nil) return fail('not_a_map', at);
  if (count > MSGPACK_ENTRIES_MAX) return fail('entries_limit', at);
  let next = first;
  for (let i = 0; i < count; i++) {
    let field = i < plan.names.length ? i : -1;
    if (found === FAMILY.map) {
      const key = readKey(bytes, next, plan);
      if (key === undefined) return FAILED;
      field = key;
      next = end;
    }
    if (field < 0) {
      next = skip(bytes, next, 1);
      if (next === FAILED) return FAILED;
      continue;
    }
    const entry = readValue(bytes, next, plan.kinds[field] as FieldKind);
    if (entry === undefined) return FAILED;
    into[plan.names[field] as string] = entry;
    next = end;
  }
  return next;
}

/**
 * Reads the struct at `at`. Total. `bytes` fields are views of the input's memory. A field of the wrong kind, or a number outside
 * its Go type, refuses the whole struct, as go-msgpack does; of a repeated key the last value counts.
 */
export function decodeStruct<S extends Schema>(bytes: Uint8Array, at: number, schema: S): Parsed<ParsedStruct<S>> {
  const plan = planOf(schema);
  const fields = { ...plan.zero };
  const after = readStruct(bytes, at, plan, fields);
  return after === FAILED ? failure : { ok: true, value: { fields: fields as Fields<S>, end: after } };
}
