/** Go strings as JavaScript ones, without loss: Go's are any bytes, and two names that differ must stay different. */
import { isUtf8 } from 'node:buffer';

/** Shorter ASCII is put together here: a call into the engine costs more. */
const INLINE_BYTES = 12;

/**
 * Bytes `from`..`to` as text. Bytes that are not UTF-8 as a whole come out byte by byte, those over 0x7f as lone surrogates
 * U+DC80..U+DCFF; encodeText puts them back.
 */
export function decodeText(bytes: Uint8Array, from = 0, to = bytes.length): string {
  let ascii = true;
  for (let i = from; i < to; i++) {
    if ((bytes[i] as number) < 0x80) continue;
    ascii = false;
    break;
  }
  if (ascii && to - from <= INLINE_BYTES) return inline(bytes, from, to);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
  if (ascii) return text.toString('latin1');
  if (isUtf8(text)) return text.toString('utf8');
  let out = '';
  for (const byte of text) out += String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte);
  return out;
}

function inline(bytes: Uint8Array, from: number, to: number): string {
  let out = '';
  for (let i = from; i < to; i++) out += String.fromCharCode(bytes[i] as number);
  return out;
}

/** The bytes of a text from decodeText, or of any text as UTF-8. A new buffer. */
export function encodeText(text: string): Uint8Array {
  if (!/[\uDC80-\uDCFF]/u.test(text)) return Buffer.from(text, 'utf8');
  const parts: Uint8Array[] = [];
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : Buffer.from(char, 'utf8'));
  }
  return Buffer.concat(parts);
}
