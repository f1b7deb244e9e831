/**
 * Decompresses what Go's compress/lzw writes with LSB bit order and 8-bit literals: memberlist's compress algorithm 0, which stock
 * members use for every push/pull. Codes are 9 to 12 bits; 256 clears the table, 257 ends the data; input that stops before 257 is
 * refused as memberlist refuses it ("unexpected EOF"). A 12-bit code can stand for 4 KiB, so the output is capped.
 */
import { failed, type Parsed } from './codec-reason.ts';

const LITERALS = 256;
const CLEAR = 256;
const END = 257;
const MIN_WIDTH = 9;
const MAX_WIDTH = 12;
const TABLE = 1 << MAX_WIDTH;
const NONE = -1;

/** Unpacks `bytes` to at most `maxBytes`; a new buffer. Total. */
export function decodeLzw(bytes: Uint8Array, maxBytes: number): Parsed<Uint8Array> {
  const suffix = new Uint8Array(TABLE);
  const prefix = new Uint16Array(TABLE);
  const lengths = new Uint16Array(TABLE).fill(1, 0, LITERALS);
  let out = new Uint8Array(Math.min(maxBytes, Math.max(256, bytes.length * 4)));
  let written = 0;
  let [width, highest, last] = [MIN_WIDTH, END, NONE];
  let [bits, bitCount, at] = [0, 0, 0];
  for (;;) {
    while (bitCount < width) {
      const byte = bytes[at];
      if (byte === undefined) return failed('truncated', at + 1);
      bits |= byte << bitCount;
      bitCount += 8;
      at++;
    }
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    bitCount -= width;
    if (code === END) return { ok: true, value: out.subarray(0, written) };
    if (code === CLEAR) {
      [width, highest, last] = [MIN_WIDTH, END, NONE];
      continue;
    }
    if (code > highest) return failed('lzw_code', at - 1);
    // Before the table is full, `highest` is the entry that this very code completes: the previous text and its own first byte.
    const completes = code === highest && last !== NONE;
    const base = completes ? last : code;
    const size = (lengths[base] as number) + (completes ? 1 : 0);
    if (written + size > maxBytes) return failed('expanded_limit', at - 1);
    if (written + size > out.length) out = grow(out, written + size, maxBytes);
    const first = writeText(out, written, base, suffix, prefix, lengths);
    if (completes) out[written + size - 1] = first;
    written += size;
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
}

/** Writes the text of `code` from its end to its start at `at`; its first byte is the answer. */
function writeText(
  out: Uint8Array,
  at: number,
  code: number,
  suffix: Uint8Array,
  prefix: Uint16Array,
  lengths: Uint16Array,
): number {
  let to = at + (lengths[code] as number) - 1;
  let rest = code;
  while (rest >= LITERALS) {
    out[to--] = suffix[rest] as number;
    rest = prefix[rest] as number;
  }
  out[to] = rest;
  return rest;
}

function grow(out: Uint8Array, atLeast: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const bigger = new Uint8Array(Math.min(maxBytes, Math.max(atLeast, out.length * 2)));
  bigger.set(out);
  return bigger;
}
