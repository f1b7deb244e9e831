/** What a scan of memberlist's structs (msgpack-scan.ts) knows beforehand of one struct: its fields, how to find them, how long they are. */
import type { FieldKind, Schema } from './msgpack.ts';

/** A field of a struct. */
export interface ScanField {
  readonly kind: FieldKind;
  /** Not in the struct of the oldest releases, which pass over its value whatever that is, believe its length, and read on. */
  readonly isLate: boolean;
  /**
   * By the first byte of a value that the field takes and whose size follows from that byte: its size in bytes. 0 for any other: it has
   * to be looked at.
   */
  readonly sizes: Uint8Array;
}

/** Fields in Go's declaration order, at most 31. */
export interface ScanPlan {
  readonly fields: readonly ScanField[];
  /** Those of every field, one after the other, 256 each. */
  readonly sizes: Uint8Array;
  /** Bit by position: whether a visitor is told of the field. */
  readonly shown: number;
  /** The names, NAME_ROOM_BYTES for each field. */
  readonly names: Uint8Array;
  /** Position of the only field whose name has a certain length and last letter (see slotOf); NO_FIELD where there is none. */
  readonly slots: Uint8Array;
}

/** The longest field name of any struct (UserStateLen). */
export const NAME_MAX_BYTES = 12;

const NAME_ROOM_BYTES = 16;
const FIELDS_MAX = 31;
const NO_FIELD = 0xff;

/** Names of one length differ in their last letter: SourceAddr, SourcePort. */
function slotOf(length: number, last: number): number {
  return (length << 5) | (last & 0x1f);
}

/**
 * A plan from a schema. memberlist writes the fields that it added later (v0.2.0: Source*) only where they are set. `watched`: the
 * fields that visitors are told of; all of them without. Throws a RangeError for a schema that plans have no form for: schemas are our own.
 */
export function scanPlan({ fields, omitEmpty }: Schema, watched?: ReadonlySet<string>): ScanPlan {
  const names = Object.keys(fields);
  if (names.length > FIELDS_MAX) throw new RangeError(`a plan has at most ${FIELDS_MAX} fields`);
  const sizes = Uint8Array.from(Object.values(fields).flatMap(sizesOf));
  const plan = {
    fields: Object.entries(fields).map(([name, kind], i) => ({
      kind,
      isLate: omitEmpty?.has(name) === true,
      sizes: sizes.subarray(i * 256, (i + 1) * 256),
    })),
    sizes,
    shown: names.reduce((shown, name, i) => (watched?.has(name) === false ? shown : shown | (1 << i)), 0),
    names: new Uint8Array(names.length * NAME_ROOM_BYTES),
    slots: new Uint8Array(slotOf(NAME_MAX_BYTES + 1, 0)).fill(NO_FIELD),
  };
  names.forEach((name, i) => {
    const bytes = Buffer.from(name);
    const slot = slotOf(bytes.length, bytes.at(-1) ?? 0);
    if (plan.slots[slot] !== NO_FIELD) throw new RangeError(`a plan has no place for ${name}`);
    plan.slots[slot] = i;
    plan.names.set(bytes, i * NAME_ROOM_BYTES);
  });
  return plan;
}

function sizesOf(kind: FieldKind): number[] {
  return Array.from({ length: 256 }, (_, byte) => sizeOf(kind, byte));
}

/** The size of a value by its first byte, where that says it and every go-msgpack takes the value for the kind. */
function sizeOf(kind: FieldKind, byte: number): number {
  if (byte === 0xc0) return 1;
  if (kind === 'text' || kind === 'bytes') return byte >= 0xa0 && byte < 0xc0 ? 1 + (byte & 0x1f) : 0;
  if (kind === 'bool') return byte <= 1 || byte === 0xc2 || byte === 0xc3 ? 1 : 0;
  if (byte < 0x80 || byte >= 0xe0) return 1;
  return byte >= 0xcc && byte <= 0xd3 ? 1 + (1 << (byte & 3)) : 0;
}

/** Position of the field whose name stands from `start` to `end` of `bytes`; -1 when there is none. Total. */
export function fieldNamed(plan: ScanPlan, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length < 1 || length > NAME_MAX_BYTES) return -1;
  const { names, slots } = plan;
  const field = slots[slotOf(length, bytes[end - 1] as number)] as number;
  if (field === NO_FIELD) return -1;
  const shift = field * NAME_ROOM_BYTES - start;
  for (let i = start; i < end; i++) if (bytes[i] !== names[i + shift]) return -1;
  return field;
}
