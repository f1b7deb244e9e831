/** The compress layer of a stream, `9 msgpack{Algo, Buf}`, unpacked while Buf arrives (net.go `readStream`, util.go `decompressBuffer`). */
import { type CodecFailure, type CodecReason, failed } from './codec-reason.ts';
import { COMPRESS_ALGORITHM } from './compress.ts';
import { COMPRESSED_MAX_BYTES, STREAM_STRUCT_MAX_BYTES } from './limits.ts';
import { createLzwDecoder, type LzwDecoder } from './lzw.ts';
import { type ScanField, scanPlan } from './msgpack-plan.ts';
import {
  bytesLength,
  fieldOf,
  integerAt,
  isList,
  rawStart,
  SCAN,
  skipField,
  skipKey,
  skipValue,
  structHead,
} from './msgpack-scan.ts';
import { Pending } from './pending.ts';
import { decodeSnappy } from './snappy.ts';
import { reasonOfScan, type StreamVisitor } from './stream-message.ts';

const PLAN = scanPlan({ fields: { Algo: 'u8', Buf: 'bytes' } });
const ALGO = 0;
const BUF = 1;

/** One entry of the struct after another; `buf` while the content of Buf is on its way. */
type Phase = 'head' | 'entries' | 'buf' | 'done';

export class CompressReader {
  readonly #visitor: StreamVisitor;
  readonly #maxBytes: number;
  readonly #emit: (piece: Uint8Array) => void;
  readonly #pending = new Pending();
  #phase: Phase = 'head';
  #isMap = true;
  #entry = 0;
  #entries = 0;
  #algorithm: number = COMPRESS_ALGORITHM.lzw;
  readonly #seen = new Set<number>();
  #bufLeft = 0;
  #lzw: LzwDecoder | undefined;
  /** A Snappy block, as far as it came. */
  readonly #block: Uint8Array[] = [];
  #expanded = 0;
  #failure: CodecFailure | undefined;
  /** What Go finds wrong with Buf once all of the struct is there. */
  #verdict: CodecReason | undefined = 'lzw_truncated';

  /** `emit` is given what Buf unpacks to, in pieces that are valid until it returns. */
  constructor(visitor: StreamVisitor, maxBytes: number, emit: (piece: Uint8Array) => void) {
    this.#visitor = visitor;
    this.#maxBytes = maxBytes;
    this.#emit = emit;
  }

  get failure(): CodecFailure | undefined {
    return this.#failure;
  }

  /** The struct is complete. */
  get done(): boolean {
    return this.#phase === 'done';
  }

  push(chunk: Uint8Array): void {
    let rest = chunk;
    if (this.#phase === 'buf') rest = rest.subarray(this.#takeBuf(rest));
    if (rest.length > 0 && this.#failure === undefined && this.#phase !== 'done') {
      this.#pending.append(rest);
      this.#parse();
      if (this.#pending.length > STREAM_STRUCT_MAX_BYTES) this.#failure ??= failed('entries_limit', 0);
    }
  }

  end(): void {
    if (this.#phase !== 'done') this.#failure ??= failed('truncated', 0);
  }

  #parse(): void {
    while (this.#failure === undefined && this.#phase !== 'done' && this.#pending.length > 0) {
      const bytes = this.#pending.view();
      const next =
        this.#phase === 'head' ? this.#head(bytes) : this.#phase === 'buf' ? this.#takeBuf(bytes) : this.#next(bytes);
      if (next === SCAN.truncated) return;
      if (next < 0) this.#failure ??= failed(reasonOfScan(next), 0);
      else this.#pending.take(next);
    }
  }

  #head(bytes: Uint8Array): number {
    const found = structHead(bytes, 0, bytes.length);
    if (typeof found === 'number') return found;
    [this.#isMap, this.#entries] = [found.isMap, found.entries];
    this.#phase = 'entries';
    this.#finish();
    return found.next;
  }

  /** Reads one entry, of Buf only the head. */
  #next(bytes: Uint8Array): number {
    let at = 0;
    let field = this.#isMap || this.#entry >= PLAN.fields.length ? -1 : this.#entry;
    if (this.#isMap) {
      at = skipKey(bytes, 0, bytes.length);
      if (at < 0) return at;
      field = fieldOf(PLAN, bytes, 0, at);
      if (field === SCAN.disguised) return field;
    }
    // Whatever unpacks it has to know the algorithm first; members write it first.
    if (field >= 0 && (this.#seen.has(field) || this.#seen.has(BUF))) return SCAN.disguised;
    const next = field === BUF ? this.#startBuf(bytes, at) : this.#value(field, bytes, at);
    if (next < 0) return next;
    this.#seen.add(field);
    this.#entry++;
    if (field === BUF) this.#phase = 'buf';
    if (field !== BUF || this.#bufLeft === 0) this.#afterEntry();
    return next;
  }

  #value(field: number, bytes: Uint8Array, at: number): number {
    if (field !== ALGO) return skipValue(bytes, at, bytes.length);
    const next = skipField(PLAN.fields[ALGO] as ScanField, bytes, at, bytes.length);
    if (next >= 0) this.#algorithm = integerAt(bytes, at);
    return next;
  }

  #startBuf(bytes: Uint8Array, at: number): number {
    if (at >= bytes.length) return SCAN.truncated;
    if (isList(bytes[at])) return SCAN.disguised;
    if (bytes[at] === 0xc0) return at + 1;
    const start = rawStart(bytes, at);
    if (start < 0) return SCAN.invalid;
    if (start > bytes.length) return SCAN.truncated;
    this.#bufLeft = bytesLength(bytes, at);
    if (this.#bufLeft > COMPRESSED_MAX_BYTES) return SCAN.claim;
    this.#visitor.compressed?.(this.#algorithm, this.#bufLeft);
    if (this.#algorithm === COMPRESS_ALGORITHM.lzw) this.#lzw = createLzwDecoder(this.#maxBytes);
    else if (this.#algorithm !== COMPRESS_ALGORITHM.snappy) this.#verdict = 'compress_algorithm';
    return start;
  }

  /** How many of `bytes` belong to Buf. */
  #takeBuf(bytes: Uint8Array): number {
    const piece = bytes.subarray(0, this.#bufLeft);
    this.#bufLeft -= piece.length;
    if (this.#lzw !== undefined) this.#unpackLzw(this.#lzw, piece);
    else if (this.#algorithm === COMPRESS_ALGORITHM.snappy) this.#block.push(Uint8Array.from(piece));
    if (this.#bufLeft === 0) this.#afterEntry();
    return piece.length;
  }

  #unpackLzw(lzw: LzwDecoder, piece: Uint8Array): void {
    if (this.#verdict === 'lzw_code') return;
    const reason = lzw.push(piece, (out) => this.#give(out));
    if (reason === 'expanded_limit') this.#failure = failed(reason, 0);
    else this.#verdict = reason ?? (lzw.ended() ? undefined : 'lzw_truncated');
  }

  #give(out: Uint8Array): void {
    this.#expanded += out.length;
    this.#emit(out);
  }

  /** Buf is complete when its last byte is; the struct when its last entry is. */
  #afterEntry(): void {
    if (this.#phase === 'buf') {
      this.#phase = 'entries';
      if (this.#algorithm === COMPRESS_ALGORITHM.snappy) this.#unpackSnappy();
    }
    this.#finish();
  }

  #unpackSnappy(): void {
    const opened = decodeSnappy(Buffer.concat(this.#block.splice(0)), this.#maxBytes);
    if (opened.ok) this.#give(opened.value);
    else if (opened.reason === 'expanded_limit') this.#failure = opened;
    this.#verdict = opened.ok ? undefined : opened.reason;
  }

  #finish(): void {
    if (this.#entry < this.#entries || this.#failure !== undefined) return;
    this.#phase = 'done';
    if (this.#verdict !== undefined) this.#failure = failed(this.#verdict, 0);
    // Every release up to v0.6.0 takes the first byte of nothing here.
    else if (this.#expanded === 0) this.#failure = failed('empty', 0);
  }
}
