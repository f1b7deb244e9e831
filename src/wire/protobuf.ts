/**
 * The part of protobuf that Grafana's and Alertmanager's gossip speaks: a run of fields, each `tag varint` and a value. Mirrors what
 * gogo/protobuf generates (`Unmarshal`, `skipX`) for field order, repetition, unknown fields and number widths, and in what it takes
 * although no writer writes it: see `entry` and `countPacked`. Stricter in one thing: unknown groups are refused, not skipped.
 *
 * No recursion and no copies: a message inside a message is read by a second reader over the same bytes.
 */
import type { CodecFailure, CodecReason } from './codec-reason.ts';
import { decodeText, encodeText } from './text.ts';

/** Wire types; 3 and 4 are groups. */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

const VARINT_MAX_BYTES = 10;
const TWO_32 = 2 ** 32;

/** A cursor over the fields of one message. After `next()` has said false, `failure` tells whether that was the end. */
export class ProtoReader {
  /** Number of the field that the cursor stands on. */
  field = 0;
  failure: CodecFailure | undefined;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #type = VARINT;
  /** The varint last read, as two unsigned halves. */
  #low = 0;
  #high = 0;
  /** Where the current field's value starts, and the first byte after it. */
  #valueAt = 0;
  #valueEnd = 0;

  /** How far a value may reach: `#end`, but for the entries of a map. */
  readonly #limit: number;
  /** In an entry of a map, the wire types of its key and its value. */
  readonly #entry: readonly [key: number, value: number] | undefined;

  /** Reads `bytes` from `at` to `end`; neither is copied. */
  constructor(
    bytes: Uint8Array,
    at = 0,
    end = bytes.length,
    limit = end,
    entry?: readonly [key: number, value: number],
  ) {
    this.#bytes = bytes;
    this.#end = end;
    this.#at = at;
    this.#limit = limit;
    this.#entry = entry;
  }

  /** Moves to the next field; false at the end, and for good after a failure. */
  next(): boolean {
    if (this.failure !== undefined || this.#at >= this.#end) return false;
    const tagAt = this.#at;
    if (!this.#varint()) return false;
    this.#type = this.#low & 7;
    // As in gogo, the low 32 bits of the number, signed.
    this.field = (this.#high << 29) | (this.#low >>> 3);
    if (this.#entry === undefined) {
      return this.field > 0 ? this.#value(tagAt) : this.#fail('protobuf_invalid', tagAt);
    }
    const known = this.field === 1 || this.field === 2;
    if (known) this.#type = this.#entry[this.field === 1 ? 0 : 1];
    return this.#value(tagAt) && (known || this.#at <= this.#end || this.#fail('protobuf_truncated', tagAt));
  }

  /** The current field as int64. Beyond 2^53 the low bits are lost. Another wire type fails the message, as in gogo. */
  int64(): number {
    return this.#expect(VARINT) ? (this.#high | 0) * TWO_32 + this.#low : 0;
  }

  /** The current field as int32 or an enum: the low half of the varint. */
  int32(): number {
    return this.#expect(VARINT) ? this.#low | 0 : 0;
  }

  bool(): boolean {
    return this.#expect(VARINT) && (this.#low !== 0 || this.#high !== 0);
  }

  /** The current field's bytes, a view. */
  bytes(): Uint8Array {
    return this.#expect(LENGTH) ? this.#bytes.subarray(this.#valueAt, this.#valueEnd) : this.#bytes.subarray(0, 0);
  }

  /** The current field as text; see decodeText for bytes that are not UTF-8. */
  text(): string {
    return decodeText(this.bytes());
  }

  /** A reader of the message in the current field. Its failure is the caller's to look at. */
  message(): ProtoReader {
    return this.#expect(LENGTH)
      ? new ProtoReader(this.#bytes, this.#valueAt, this.#valueEnd)
      : new ProtoReader(this.#bytes, 0, 0);
  }

  /**
   * A reader of the current field as the entry of a map, `{1 key, 2 value}`. gogo reads an entry in place: it does not look at the wire
   * types of key and value, and lets them reach beyond the entry to the end of the message; so does this.
   */
  entry(key: 'bytes' | 'number', value: 'bytes' | 'number'): ProtoReader {
    if (!this.#expect(LENGTH)) return new ProtoReader(this.#bytes, 0, 0);
    const types = [key === 'bytes' ? LENGTH : VARINT, value === 'bytes' ? LENGTH : VARINT] as const;
    return new ProtoReader(this.#bytes, this.#valueAt, this.#valueEnd, this.#end, types);
  }

  /**
   * How many numbers the current field of a repeated integer holds: one, or a packed run. The last number of a run may reach beyond it, and
   * the next field then starts where that number ends, as in gogo.
   */
  countPacked(): number {
    if (this.#type === VARINT) return 1;
    if (!this.#expect(LENGTH)) return 0;
    const bytes = this.#bytes;
    let count = 0;
    let at = this.#valueAt;
    while (at < this.#valueEnd) {
      const start = at;
      while (at < this.#end && (bytes[at] as number) >= 0x80) at++;
      if (at - start >= VARINT_MAX_BYTES || at >= this.#end) {
        this.#fail(at >= this.#end ? 'protobuf_truncated' : 'protobuf_invalid', start);
        return count;
      }
      at++;
      count++;
    }
    this.#at = at;
    return count;
  }

  /** Where the current field's value starts in the bytes that the reader was given; after a length, for one that has it. */
  get valueAt(): number {
    return this.#valueAt;
  }

  #value(tagAt: number): boolean {
    this.#valueAt = this.#at;
    if (this.#type === VARINT) return this.#varint();
    if (this.#type === FIXED64) return this.#skip(8);
    if (this.#type === FIXED32) return this.#skip(4);
    if (this.#type !== LENGTH) return this.#fail('protobuf_invalid', tagAt);
    if (!this.#varint()) return false;
    this.#valueAt = this.#at;
    return this.#skip(this.#high * TWO_32 + this.#low);
  }

  #skip(size: number): boolean {
    if (size > this.#limit - this.#at) return this.#fail('protobuf_truncated', this.#at);
    this.#at += size;
    this.#valueEnd = this.#at;
    return true;
  }

  #varint(): boolean {
    const start = this.#at;
    let low = 0;
    let high = 0;
    for (let i = 0; i < VARINT_MAX_BYTES; i++) {
      if (this.#at >= this.#limit) return this.#fail('protobuf_truncated', start);
      const byte = this.#bytes[this.#at++] as number;
      const bits = byte & 0x7f;
      if (i < 4) low += bits * 2 ** (7 * i);
      else if (i === VARINT_MAX_BYTES - 1) high += (bits & 1) * 2 ** 31;
      else if (i > 4) high += bits * 2 ** (7 * i - 32);
      else {
        low += (bits & 0x0f) * 2 ** 28;
        high += bits >> 4;
      }
      if (byte < 0x80) {
        this.#low = low;
        this.#high = high;
        return true;
      }
    }
    return this.#fail('protobuf_invalid', start);
  }

  #expect(type: number): boolean {
    return this.#type === type || this.#fail('protobuf_invalid', this.#valueAt);
  }

  #fail(reason: CodecReason, at: number): false {
    this.failure ??= { ok: false, reason, at };
    return false;
  }
}

/** A field to write. proto3 leaves out what is zero or empty; so does encodeProto. */
export type ProtoField = readonly [field: number, value: number | boolean | string | Uint8Array];

/** The message of `fields`, in their order, a new buffer. Numbers are int64s that a double holds. Values are our own. */
export function encodeProto(fields: readonly ProtoField[]): Uint8Array {
  return Buffer.concat(fields.flatMap(([field, value]) => encodeField(field, value)));
}

function encodeField(field: number, value: ProtoField[1]): Uint8Array[] {
  if (typeof value === 'number' || typeof value === 'boolean') {
    return Number(value) === 0 ? [] : [encodeVarint(field * 8 + VARINT), encodeVarint(Number(value))];
  }
  const bytes = typeof value === 'string' ? encodeText(value) : value;
  return bytes.length === 0 ? [] : [encodeVarint(field * 8 + LENGTH), encodeVarint(bytes.length), bytes];
}

/** An int64 as a varint: a negative one takes ten bytes. */
export function encodeVarint(value: number): Uint8Array {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Uint8Array.from([...out, Number(rest)]);
}
