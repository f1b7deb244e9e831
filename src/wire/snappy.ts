/**
 * Snappy's block format: the compress algorithm 1 of Grafana's memberlist fork, and the values of dskit's ring keys. Reading mirrors
 * golang/snappy `Decode` (decode.go, decode_other.go) to the byte, because a parser that differs is a bypass: snappyjs, which writes
 * here, takes a block whose output is shorter or longer than it claims and a copy that is cut off, and refuses short literals with a
 * long length.
 */
import { compress } from 'snappyjs';
import { failed, type Parsed } from './codec-reason.ts';

const TAG = { literal: 0, copy1: 1, copy2: 2 } as const;

/** The length that a block claims, and where its elements start. Go takes a varint of at most 32 bits. */
function readLength(block: Uint8Array): Parsed<{ readonly bytes: number; readonly at: number }> {
  let bytes = 0;
  for (let at = 0, scale = 1; at < block.length; at++, scale *= 128) {
    const byte = block[at] as number;
    bytes += (byte & 0x7f) * scale;
    if (byte < 0x80)
      return bytes > 0xffff_ffff ? failed('snappy_corrupt', at) : { ok: true, value: { bytes, at: at + 1 } };
    if (at === 9) break;
  }
  return failed('snappy_corrupt', 0);
}

/** Unpacks a block of at most `maxBytes`, a new buffer; what it claims is checked before anything is allocated. Total. */
export function decodeSnappy(block: Uint8Array, maxBytes: number): Parsed<Uint8Array> {
  const length = readLength(block);
  if (!length.ok) return length;
  if (length.value.bytes > maxBytes) return failed('expanded_limit', 0);
  const out = new Uint8Array(length.value.bytes);
  let from = length.value.at;
  let to = 0;
  while (from < block.length) {
    const tag = block[from] as number;
    if ((tag & 3) === TAG.literal) {
      const more = Math.max(0, (tag >> 2) - 59);
      const next = from + 1 + more;
      if (next > block.length) return failed('snappy_corrupt', from);
      const size = (more === 0 ? tag >> 2 : readLittle(block, from + 1, more)) + 1;
      if (size > out.length - to || size > block.length - next) return failed('snappy_corrupt', from);
      out.set(block.subarray(next, next + size), to);
      to += size;
      from = next + size;
      continue;
    }
    const copy1 = (tag & 3) === TAG.copy1;
    const more = copy1 ? 1 : (tag & 3) === TAG.copy2 ? 2 : 4;
    if (from + 1 + more > block.length) return failed('snappy_corrupt', from);
    const size = copy1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const offset = (copy1 ? (tag & 0xe0) << 3 : 0) + readLittle(block, from + 1, more);
    if (offset === 0 || offset > to || size > out.length - to) return failed('snappy_corrupt', from);
    // Byte by byte: source and target may overlap, which repeats what was just written.
    for (const end = to + size; to < end; to++) out[to] = out[to - offset] as number;
    from += 1 + more;
  }
  return to === out.length ? { ok: true, value: out } : failed('snappy_corrupt', from);
}

function readLittle(block: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (block[at + i] as number);
  return value;
}

/** A block of `bytes`, a new buffer. */
export function encodeSnappy(bytes: Uint8Array): Uint8Array {
  return compress(bytes);
}
