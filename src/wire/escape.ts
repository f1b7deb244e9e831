/** Attacker-chosen bytes as text that is safe in logs, metrics and terminals. */
import { encodeText } from './text.ts';

/** What is shown of a label: 64 bytes tell clusters apart, and an escaped byte takes four characters. */
export const SHOWN_LABEL_BYTES = 64;

/** What is shown of a member's name or another text: a Kubernetes name has at most 253 characters, most far fewer. */
export const SHOWN_TEXT_BYTES = 128;

/**
 * Printable ASCII stays, but a backslash, a quote and every other byte become `\xNN`, so that no notation around it escapes it twice; past `maxBytes` it ends in
 * `...`. The result has at most 4 * maxBytes + 3 characters.
 */
export function escapeBytes(bytes: Uint8Array, maxBytes: number = SHOWN_LABEL_BYTES): string {
  let out = '';
  for (const byte of bytes.subarray(0, maxBytes)) {
    if (byte >= 0x20 && byte < 0x7f && byte !== 0x5c && byte !== 0x22) out += String.fromCharCode(byte);
    else out += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return bytes.length > maxBytes ? `${out}...` : out;
}

/** Text from decodeText (lone surrogates stand for bytes), escaped as escapeBytes does with its bytes. */
export function escapeText(text: string, maxBytes: number = SHOWN_TEXT_BYTES): string {
  // Longer text is cut before it is copied: one character is at least one byte.
  return escapeBytes(encodeText(text.length > maxBytes ? text.slice(0, maxBytes + 1) : text), maxBytes);
}
