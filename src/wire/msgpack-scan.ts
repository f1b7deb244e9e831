/**
 * A walk over the msgpack structs of memberlist that makes no objects: offsets in, offsets out. For who has to see what any release
 * sees, and sooner: it takes what go-msgpack 0.5.3 (memberlist up to v0.5.0) or go-msgpack v2 takes, and where neither would write
 * something although one of them reads it, it says so.
 */
import { MSGPACK_DEPTH_MAX, MSGPACK_ENTRIES_MAX } from './limits.ts';
import type { FieldKind } from './msgpack.ts';
import { FAMILY, type Head, readHead } from './msgpack-head.ts';
import { fieldNamed, NAME_MAX_BYTES, type ScanField, type ScanPlan } from './msgpack-plan.ts';

/** What a scan answers instead of an offset. Visitors may answer numbers below `lowest`. */
export const SCAN = {
  /** The input ended inside. */
  truncated: -1,
  /** Nothing that go-msgpack reads. */
  invalid: -2,
  /** A length or count of more than 65,535 that the input does not hold: go-msgpack 0.5.3 reserves it before it reads (up to 64 GiB). */
  claim: -3,
  /** Containers inside each other deeper than any member writes: go-msgpack 0.5.3 recurses until Go ends the process. */
  depth: -4,
  /** More entries than any member writes (structHead; a scan reads on as long as there are bytes, as go-msgpack does). */
  entries: -5,
  /** Read by go-msgpack, written by no member: a field twice, or a name spelled as a list of numbers. */
  disguised: -6,
  lowest: -6,
} as const;

/** Is told the position of a field that the plan shows, and where its value stands; below zero ends the scan with that answer. */
export type FieldVisitor<C> = (field: number, bytes: Uint8Array, at: number, end: number, context: C) => number;

/** Lengths up to this are reserved freely: what two bytes can announce. */
const CLAIM_FREE = 0xffff;

const head: Head = { value: 0, next: 0, reason: 'truncated', at: 0 };

/** Offset after the value at `at`, whatever it is, or why there is none before `end`. Total. */
export function skipValue(bytes: Uint8Array, at: number, end: number, depth = 0): number {
  if (at >= end) return SCAN.truncated;
  const byte = bytes[at] as number;
  if (byte < 0x80 || byte >= 0xe0) return at + 1;
  if (byte >= 0xa0 && byte < 0xc0) return within(at + 1 + (byte & 0x1f), end);
  const family = readHead(bytes, at, head);
  if (family === FAMILY.failed) return head.reason === 'truncated' ? SCAN.truncated : SCAN.invalid;
  const { value, next } = head;
  if (next > end) return SCAN.truncated;
  if (family === FAMILY.raw || family === FAMILY.other) {
    return next + value > end && value > CLAIM_FREE ? SCAN.claim : within(next + value, end);
  }
  if (family !== FAMILY.array && family !== FAMILY.map) return next;
  const entries = family === FAMILY.map ? value * 2 : value;
  return value > CLAIM_FREE && entries > end - next ? SCAN.claim : skipEntries(bytes, next, end, entries, depth);
}

function within(next: number, end: number): number {
  return next > end ? SCAN.truncated : next;
}

function skipEntries(bytes: Uint8Array, at: number, end: number, entries: number, depth: number): number {
  if (depth >= MSGPACK_DEPTH_MAX) return SCAN.depth;
  let next = at;
  for (let left = entries; left > 0 && next >= 0; left--) next = skipValue(bytes, next, end, depth + 1);
  return next;
}

/**
 * Offset after the text at `at`. go-msgpack 0.5.3 (`readContainerLen`) takes the bytes 0xe0..0xff for the heads of texts of 64 to 95
 * bytes, and nil for an empty one; go-msgpack v2 takes a list of numbers.
 */
export function skipKey(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return SCAN.truncated;
  const byte = bytes[at] as number;
  if (byte >= 0xa0 && byte < 0xc0) return within(at + 1 + (byte & 0x1f), end);
  if (byte >= 0xe0) return within(at + 1 + (byte ^ 0xa0), end);
  return isRaw(byte) || isList(byte) || byte === 0xc0 ? skipValue(bytes, at, end) : SCAN.invalid;
}

function isRaw(byte: number): boolean {
  return (byte >= 0xa0 && byte < 0xc0) || (byte >= 0xc4 && byte <= 0xc6) || (byte >= 0xd9 && byte <= 0xdb);
}

/** Whether a value's first byte is a list's or a map's, which go-msgpack takes for a slice as well. */
export function isList(byte: number | undefined = 0): boolean {
  return (byte >= 0x80 && byte < 0xa0) || (byte >= 0xdc && byte <= 0xdf);
}

/** Where the content of the raw value at `at` (a complete one) begins, or `invalid` when the value is none. */
export function rawStart(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] ?? 0;
  if (!isRaw(byte)) return SCAN.invalid;
  if (byte < 0xc0) return at + 1;
  const width = byte >= 0xd9 ? byte - 0xd9 : byte - 0xc4;
  return at + 1 + (1 << width);
}

/** The length in bytes that the raw value or list at `at` announces, read as go-msgpack reads it into bytes; its head is complete. */
export function bytesLength(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] as number;
  if (byte >= 0xa0 && byte < 0xc0) return byte & 0x1f;
  return readHead(bytes, at, head) === FAMILY.map ? head.value * 2 : head.value;
}

/** The integer at `at` (a complete value): 0 for nil, rounded beyond 2^53, NaN when it is none. */
export function integerAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] as number;
  if (byte < 0x80) return byte;
  const family = readHead(bytes, at, head);
  if (family === FAMILY.nil) return 0;
  return family === FAMILY.int ? head.value : Number.NaN;
}

/** How a struct begins. */
export interface StructHead {
  readonly isMap: boolean;
  readonly entries: number;
  /** Offset of the first entry. */
  readonly next: number;
}

/** The head of the struct at `at`, or why there is none; nil is a struct of no entries, and too many are none. */
export function structHead(bytes: Uint8Array, at: number, end: number): StructHead | number {
  const code = openStruct(bytes, at, end);
  if (code < 0) return code;
  const { value: entries, next } = head;
  return entries > MSGPACK_ENTRIES_MAX ? SCAN.entries : { isMap: opensMap(bytes[at]), entries, next };
}

/** Reads the head of a struct into `head`. */
function openStruct(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return SCAN.truncated;
  if (!isList(bytes[at]) && bytes[at] !== 0xc0) return SCAN.invalid;
  return readHead(bytes, at, head) === FAMILY.failed || head.next > end ? SCAN.truncated : 0;
}

function opensMap(byte = 0): boolean {
  return byte < 0x90 || byte >= 0xde;
}

/**
 * Shows `visit` the fields of the struct at `at`: a map of names, a list by position, or nil. Offset after it, or why there is none.
 * Total; what is shown may belong to a struct that is cut off or refused further on.
 */
export function scanStruct<C>(
  bytes: Uint8Array,
  at: number,
  end: number,
  plan: ScanPlan,
  visit: FieldVisitor<C>,
  context: C,
): number {
  const code = openStruct(bytes, at, end);
  if (code < 0) return code;
  const entries = head.value;
  const isMap = opensMap(bytes[at]);
  let next = head.next;
  let seen = 0;
  for (let i = 0, field = -1; i < entries; i++) {
    if (!isMap) field = i < plan.fields.length ? i : -1;
    else {
      const keyAt = next;
      const byte = next < end ? (bytes[next] as number) : 0;
      // What members write: a short text. The rest of the loop would do as well, and slower.
      if (byte >= 0xa0 && byte < 0xc0 && next + 1 + (byte & 0x1f) <= end) {
        next += 1 + (byte & 0x1f);
        field = fieldNamed(plan, bytes, keyAt + 1, next);
      } else {
        next = skipKey(bytes, next, end);
        if (next < 0) return next;
        field = fieldOf(plan, bytes, keyAt, next);
        if (field === SCAN.disguised) return field;
      }
    }
    const valueAt = next;
    const size = field < 0 || valueAt >= end ? 0 : (plan.sizes[(field << 8) | (bytes[valueAt] as number)] as number);
    if (size > 0 && valueAt + size <= end) next = valueAt + size;
    else next = field < 0 ? skipValue(bytes, next, end) : skipField(plan.fields[field] as ScanField, bytes, next, end);
    if (next < 0) return next;
    if (field < 0) continue;
    const bit = 1 << field;
    if ((seen & bit) !== 0) return SCAN.disguised;
    seen |= bit;
    if ((plan.shown & bit) === 0) continue;
    const answer = visit(field, bytes, valueAt, next, context);
    if (answer < 0) return answer;
  }
  return next;
}

/** Offset after a known field's value, of a kind that go-msgpack takes for it: only then does it believe a length. */
export function skipField(field: ScanField, bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return SCAN.truncated;
  const size = field.sizes[bytes[at] as number] as number;
  return size > 0 ? within(at + size, end) : skipLong(field, bytes, at, end);
}

/** The same for a value whose first byte does not say all. */
function skipLong({ kind, isLate }: ScanField, bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at] as number;
  if (kind === 'text') {
    // A number to who passes over it, a text of 64 bytes and more to who reads it: what follows would be read in two ways.
    if (isLate && byte >= 0xe0) return SCAN.disguised;
    const next = skipKey(bytes, at, end);
    return next === SCAN.invalid && isLate ? skipValue(bytes, at, end) : next;
  }
  return isLate || takes(kind, byte) ? skipValue(bytes, at, end) : SCAN.invalid;
}

/** Whether go-msgpack takes a value of this first byte, whose size says nothing yet, for the kind; numbers and booleans are sized. */
function takes(kind: FieldKind, byte: number): boolean {
  return kind === 'bytes' && (isRaw(byte) || isList(byte));
}

/** Position of the field whose name is the key from `at` to `end` (a complete one), -1 when there is none, or `disguised`. */
export function fieldOf(plan: ScanPlan, bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at] as number;
  if (byte >= 0xa0 && byte < 0xc0) return fieldNamed(plan, bytes, at + 1, end);
  const start = rawStart(bytes, at);
  if (start < 0) return isSpelled(plan, bytes, at, end) ? SCAN.disguised : -1;
  return fieldNamed(plan, bytes, start, end);
}

/** Whether the key is a list of numbers that spell a field's name, which go-msgpack v2 reads as that name. */
function isSpelled(plan: ScanPlan, bytes: Uint8Array, at: number, end: number): boolean {
  if (!isList(bytes[at])) return false;
  readHead(bytes, at, head);
  const letters: number[] = [];
  for (let next = head.next; next >= 0 && next < end && letters.length <= NAME_MAX_BYTES; ) {
    letters.push(integerAt(bytes, next));
    next = skipValue(bytes, next, end);
  }
  return fieldNamed(plan, Uint8Array.from(letters), 0, letters.length) >= 0;
}
