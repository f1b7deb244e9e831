/** Reads a packet for the ring: opened where keys do it, every message in it, dskit's pairs. Pure and total. */
import { type CodecFailure, failed } from '../wire/codec-reason.ts';
import { type Keyring, looksEncrypted, openPacket } from '../wire/encryption.ts';
import { decodeKvPair } from '../wire/kv.ts';
import { DSKIT_PACKET_MAX_BYTES } from '../wire/limits.ts';
import type { Message } from '../wire/messages.ts';
import { isProbe } from '../wire/probe.ts';
import { walkPacket } from '../wire/walk.ts';
import { describeBytes, describeKey, describeMessage, Excerpt } from './excerpt.ts';
import { readsUser } from './packet-interest.ts';
import type { Ring } from './ring.ts';
import type { FrameSource } from './source.ts';

/** What was read of a frame. */
export interface Inspected {
  /** Messages, or rows of a push/pull. */
  readonly messages: number;
  /** Why something could not be read; memberlist takes the readable rest too. */
  readonly failures: readonly CodecFailure[];
  /** What it says, at most EXCERPT_MAX_CHARS, printable: made when it is asked for, because few frames' is shown. */
  readonly excerpt: () => string;
}

/** Tells `ring` what `bytes` (a packet after its label, maybe encrypted) says. Longer ones than `maxBytes` are not read: `expanded_limit`. */
export function inspectPacket(
  ring: Ring,
  source: FrameSource,
  bytes: Uint8Array,
  keyring: Keyring | undefined,
  maxBytes = DSKIT_PACKET_MAX_BYTES,
): Inspected {
  const opened = keyring === undefined ? undefined : openPacket(keyring, bytes, source.label);
  const form = opened?.ok === true ? opened.value.form : undefined;
  const plain = opened?.ok === true ? opened.value.plain : bytes;
  // What a fence asks in its own name says nothing of what the app behind it speaks, nor how that seals.
  if (!isProbe(plain)) ring.frame(source, form);
  if (bytes.length > maxBytes) return unread(failed('expanded_limit', maxBytes), bytes);
  if (opened?.ok !== true && looksEncrypted(bytes)) return unread(opened ?? failed('no_key', 0), bytes);
  const { messages, failures } = walkPacket(plain);
  const keys: (string | undefined)[] = [];
  for (const message of messages) {
    ring.message(source, message);
    keys.push(keyOf(ring, source, message));
  }
  return { messages: messages.length, failures, excerpt: () => excerptOf(plain, messages, keys) };
}

/** `keys`: of the dskit pair in each message; undefined of one that has none. */
function excerptOf(plain: Uint8Array, messages: readonly Message[], keys: readonly (string | undefined)[]): string {
  const excerpt = new Excerpt();
  for (const [i, message] of messages.entries()) {
    const key = keys[i];
    excerpt.add(() => (key === undefined ? describeMessage(message) : describeKey(key)));
  }
  if (messages.length === 0) excerpt.add(() => describeBytes(plain));
  return excerpt.toString();
}

/** The key of a dskit pair, which goes to the ring; undefined for other messages. */
function keyOf(ring: Ring, source: FrameSource, message: Message): string | undefined {
  if (message.type !== 'user' || !readsUser(source)) return undefined;
  const pair = decodeKvPair(message.data);
  if (!pair.ok) return undefined;
  ring.kv(source, pair.value);
  return pair.value.key;
}

function unread(failure: CodecFailure, bytes: Uint8Array): Inspected {
  const encrypted = failure.reason === 'expanded_limit' ? '' : 'encrypted, ';
  return { messages: 0, failures: [failure], excerpt: () => `${encrypted}${bytes.length} bytes` };
}
