/**
 * What a file of gossip keys says. Three forms are told apart by their first bytes:
 *
 *   lines      base64 of 16, 24 or 32 bytes, one a line, `#` starts a comment (what `serf keygen` and `consul keygen` print)
 *   keyring    a JSON array of base64 (serf's `keyring_file`, Consul's and Nomad's `serf/*.keyring`: agent.go `loadKeyringFile`)
 *   raw        16, 24 or 32 bytes that are no text: memberlist's `Config.SecretKey` as it is
 *
 * The first key is the primary one, as in serf. A passphrase is no key: text that is not base64 is refused, so that a slip in a key
 * is not taken for another key. No reason that is given here holds any of the text.
 */
import { KEYRING_KEYS_MAX } from '../wire/limits.ts';

/** Keys of 32 bytes in base64 with a comment each are far below it. */
export const KEY_FILE_MAX_BYTES = 64 * 1024;

/** AES-128, AES-192, AES-256 (memberlist keyring.go `ValidateKey`). */
const KEY_BYTES: ReadonlySet<number> = new Set([16, 24, 32]);

export type KeyText =
  | { readonly ok: true; readonly keys: readonly Uint8Array[] }
  | { readonly ok: false; readonly why: string };

/** Reads the content of one key file. Total; the keys are copies. */
export function parseKeyFile(content: Uint8Array): KeyText {
  if (content.length > KEY_FILE_MAX_BYTES) return refused(`it has more than ${KEY_FILE_MAX_BYTES} bytes`);
  const text = textOf(content);
  if (text === undefined) {
    if (KEY_BYTES.has(content.length)) return { ok: true, keys: [Uint8Array.from(content)] };
    return refused(`it is no text, and a raw key has 16, 24 or 32 bytes, not ${content.length}`);
  }
  return text.trimStart().startsWith('[') ? parseKeyring(text) : parseLines(text);
}

function refused(why: string): KeyText {
  return { ok: false, why };
}

/** The content as text without a byte order mark; undefined when it is none (control characters, no UTF-8). */
function textOf(content: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(content);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what tells a raw key
    return /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function parseKeyring(text: string): KeyText {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return refused('it starts as a JSON array and is none');
  }
  if (!Array.isArray(list)) return refused('it starts as a JSON array and is none');
  return collect(list.map((key, i) => [`key ${i + 1} of the array`, typeof key === 'string' ? key : '']));
}

function parseLines(text: string): KeyText {
  const lines = text.split(/\r?\n/).map((line, i): [string, string] => [`line ${i + 1}`, line.replace(/#.*/, '')]);
  return collect(lines.filter(([, line]) => line.trim() !== ''));
}

function collect(entries: readonly (readonly [where: string, text: string])[]): KeyText {
  if (entries.length === 0) return refused('it holds no key');
  if (entries.length > KEYRING_KEYS_MAX) return refused(`it holds more than ${KEYRING_KEYS_MAX} keys`);
  const keys: Uint8Array[] = [];
  for (const [where, text] of entries) {
    const key = decodeKey(text.trim());
    if (key === undefined) return refused(`${where} is not base64`);
    if (!KEY_BYTES.has(key.length)) return refused(`${where} has ${key.length} bytes; a key has 16, 24 or 32`);
    keys.push(key);
  }
  return { ok: true, keys };
}

/** As Go's base64.StdEncoding takes it: padded, and no stray bits looked at. */
function decodeKey(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  return Uint8Array.from(Buffer.from(text, 'base64'));
}
