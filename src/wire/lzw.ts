/**
 * Decompresses what Go's compress/lzw writes with LSB bit order and 8-bit literals: memberlist's compress algorithm 0, which stock
 * members use for every push/pull. Codes are 9 to 12 bits; 256 clears the table, 257 ends the data; input that stops before 257 is
 * refused as memberlist refuses it ("unexpected EOF"). A 12-bit code can stand for 4 KiB, so the output is capped.
 */
import { type CodecReason, failed, type Parsed } from './codec-reason.ts';

const LITERALS = 256;
const CLEAR = 256;
const END = 257;
const MIN_WIDTH = 9;
const MAX_WIDTH = 12;
const TABLE = 1 << MAX_WIDTH;
const NONE = -1;

/** Output that an incremental decoder hands over at a time; the longest text of one code is 4 KiB. */
const PIECE_BYTES = 64 * 1024;

/** Takes the output in order; the bytes are the decoder's, and are overwritten once it returns. */
export type Emit = (piece: Uint8Array) => void;

export interface LzwDecoder {
  /** Decodes what arrived, in any chunking. The reason is final. What follows the end code is ignored, as Go's reader leaves it. */
  push(chunk: Uint8Array, emit: Emit): CodecReason | undefined;
  /** Whether the end code has been read. */
  ended(): boolean;
}

/** The table and the bits in hand: everything that is kept between chunks. */
class State {
  readonly suffix = new Uint8Array(TABLE);
  readonly prefix = new Uint16Array(TABLE);
  readonly lengths = new Uint16Array(TABLE).fill(1, 0, LITERALS);
  width = MIN_WIDTH;
  highest = END;
  last = NONE;
  bits = 0;
  bitCount = 0;
  ended = false;
  /** Input bytes taken by the last run. */
  taken = 0;
  out: Uint8Array = new Uint8Array(0);
  written = 0;

  reset(): void {
    this.clear();
    [this.bits, this.bitCount, this.ended, this.taken, this.written] = [0, 0, false, 0, 0];
  }

  clear(): void {
    [this.width, this.highest, this.last] = [MIN_WIDTH, END, NONE];
  }
}

/** Decodes until the input or the data ends; `limit` bytes may stand in `out`, and `room` is asked for `size` more: it gives the new limit. */
function run(state: State, bytes: Uint8Array, limit: number, room: (size: number) => number): CodecReason | undefined {
  let may = limit;
  const { suffix, prefix, lengths } = state;
  let { width, highest, last, bits, bitCount } = state;
  let at = 0;
  let reason: CodecReason | undefined;
  for (;;) {
    while (bitCount < width && at < bytes.length) {
      bits |= (bytes[at++] as number) << bitCount;
      bitCount += 8;
    }
    if (bitCount < width) break;
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    bitCount -= width;
    if (code === END) {
      state.ended = true;
      break;
    }
    if (code === CLEAR) {
      [width, highest, last] = [MIN_WIDTH, END, NONE];
      continue;
    }
    if (code > highest) {
      reason = 'lzw_code';
      break;
    }
    // Before the table is full, `highest` is the entry that this very code completes: the previous text and its own first byte.
    const completes = code === highest && last !== NONE;
    const base = completes ? last : code;
    const size = (lengths[base] as number) + (completes ? 1 : 0);
    if (state.written + size > may) {
      may = room(size);
      if (state.written + size > may) {
        reason = 'expanded_limit';
        break;
      }
    }
    const first = writeText(state, base);
    if (completes) state.out[state.written + size - 1] = first;
    state.written += size;
    if (last !== NONE) {
      suffix[highest] = first;
      prefix[highest] = last;
      lengths[highest] = (lengths[last] as number) + 1;
    }
    last = code;
    highest++;
    if (highest === 1 << width) {
      if (width < MAX_WIDTH) width++;
      else [last, highest] = [NONE, highest - 1];
    }
  }
  state.taken = at;
  [state.width, state.highest, state.last, state.bits, state.bitCount] = [width, highest, last, bits, bitCount];
  return reason;
}

/** Writes the text of `code` from its end to its start behind what is written; its first byte is the answer. */
function writeText({ out, written, suffix, prefix, lengths }: State, code: number): number {
  let to = written + (lengths[code] as number) - 1;
  let rest = code;
  while (rest >= LITERALS) {
    out[to--] = suffix[rest] as number;
    rest = prefix[rest] as number;
  }
  out[to] = rest;
  return rest;
}

/** The tables and the output of one-shot decoding: nothing in it gives way to other code, so one set serves all. */
const shared = new State();
shared.out = new Uint8Array(PIECE_BYTES);

/** Unpacks `bytes` to at most `maxBytes`; a new buffer. Total. */
export function decodeLzw(bytes: Uint8Array, maxBytes: number): Parsed<Uint8Array> {
  shared.reset();
  const kept = shared.out;
  let limit = Math.min(maxBytes, kept.length);
  const reason = run(shared, bytes, limit, (size) => {
    const needed = shared.written + size;
    if (needed > maxBytes) return limit;
    const bigger = new Uint8Array(Math.min(maxBytes, Math.max(needed, shared.out.length * 2)));
    bigger.set(shared.out.subarray(0, shared.written));
    shared.out = bigger;
    limit = bigger.length;
    return limit;
  });
  // Most frames are small, and the pool of node's buffers costs them less than memory of their own.
  const pooled = Buffer.allocUnsafe(shared.written);
  pooled.set(shared.out.subarray(0, shared.written));
  const value = new Uint8Array(pooled.buffer, pooled.byteOffset, pooled.length);
  shared.out = kept;
  if (reason !== undefined) return failed(reason, shared.taken - 1);
  return shared.ended ? { ok: true, value } : failed('truncated', bytes.length + 1);
}

/** Unpacks in pieces as the input arrives, `maxBytes` in all; holds its tables and PIECE_BYTES. */
export function createLzwDecoder(maxBytes: number): LzwDecoder {
  const state = new State();
  state.out = new Uint8Array(PIECE_BYTES);
  let emitted = 0;
  let reason: CodecReason | undefined;
  return {
    push(chunk, emit) {
      if (state.ended || reason !== undefined) return reason;
      const flush = () => {
        if (state.written === 0) return;
        emitted += state.written;
        const piece = state.out.subarray(0, state.written);
        state.written = 0;
        emit(piece);
      };
      const limit = () => Math.min(PIECE_BYTES, maxBytes - emitted);
      reason = run(state, chunk, limit(), () => {
        flush();
        return limit();
      });
      flush();
      return reason;
    },
    ended: () => state.ended,
  };
}
