/**
 * Whether the app of a fence writes sealed frames or plain ones, by the last bytes that it was seen to write: packets, dials, answers. It
 * is the only evidence of a fence without keys that its ring is encrypted.
 */
import { type Keyring, looksEncrypted } from '../wire/encryption.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { type AnswerPlace, ownPlace } from './app-health.ts';
import type { FenceContext } from './engine.ts';
import type { OpenedSeal } from './look.ts';

const NO_BYTES = new Uint8Array(0);

/** Where the answer is kept for each fence. */
const seals = new WeakMap<FenceContext, AnswerPlace>();

/** The key that the ring last sealed with, by its place in the keyring that opened it. */
const keys = new WeakMap<Keyring, number>();
/** Who is told when that changes. */
const keyWatches = new WeakMap<Keyring, (key: number) => void>();

/** memberlist keyring.go: the first key is the one to seal with. */
const PRIMARY_KEY = 0;

/** The shortest sealed packet: version, nonce and tag (memberlist security.go `encryptOverhead`). */
const SEALED_MIN_BYTES = 29;

/** Keeps the answer for `context` in `place` from now on: memory that the threads of a fence share. */
export function shareAppSeals(context: FenceContext, place: AnswerPlace): void {
  seals.set(context, place);
}

function placeOf(context: FenceContext): AnswerPlace {
  const known = seals.get(context);
  if (known !== undefined) return known;
  const place = ownPlace();
  seals.set(context, place);
  return place;
}

/** Whether the app of `context` writes sealed frames; undefined while nothing that tells was seen. */
export function appSeals(context: FenceContext): boolean | undefined {
  return placeOf(context).get();
}

/** A packet of the app after its label, or its first bytes, from `at` to `end`. */
export function notePacketOfApp(context: FenceContext, bytes: Uint8Array, at = 0, end = bytes.length): void {
  if (at >= end) return;
  const type = bytes[at] as number;
  // A sealed packet begins with its version, 0 or 1; so does a ping, whose map of fields follows, as in one of sixteen sealed ones.
  if (type > 1) note(context, false);
  else if (end - at >= SEALED_MIN_BYTES && ((bytes[at + 1] as number) & 0xf0) !== 0x80) note(context, true);
}

/** Written only where it changes: it is asked for every packet. */
function note(context: FenceContext, sealed: boolean): void {
  const place = placeOf(context);
  if (place.get() !== sealed) place.swap(sealed);
}

/** `first`: the first bytes of a stream's message of the app after its label, a dial's or an answer's. */
export function noteStreamOfApp(context: FenceContext, first: Uint8Array): void {
  if (first.length > 0) note(context, first[0] === MESSAGE_TYPE.encrypt);
}

/** `first`: the same of a connection that the app dialled, which may be dskit's for one packet; undefined when nothing came yet. */
export function noteDialOfApp(context: FenceContext, kind: 'packet' | 'stream', first: Uint8Array = NO_BYTES): void {
  if (kind === 'packet') notePacketOfApp(context, first);
  else noteStreamOfApp(context, first);
}

/**
 * Whether a packet towards the app may be sealed under a key that is not at hand: unless the app writes plain frames, anything that
 * looks so. A plaintext ring has no such packets, whatever they look like.
 */
export function mayBeSealed(context: FenceContext, packet: Uint8Array): boolean {
  return placeOf(context).get() !== false && looksEncrypted(packet);
}

/** A frame that a member wrote, the app or one that answered a ping, was opened: with this key of this keyring. */
export function noteSealOfMember(opened: Pick<OpenedSeal, 'keyring' | 'key'> | undefined): void {
  if (opened === undefined || keys.get(opened.keyring) === opened.key) return;
  keys.set(opened.keyring, opened.key);
  keyWatches.get(opened.keyring)?.(opened.key);
}

/** Calls `onChange` whenever `keyring`'s members are seen to seal with another of its keys, here: so that other threads learn of it. */
export function watchKeyOfRing(keyring: Keyring, onChange: (key: number) => void): void {
  keyWatches.set(keyring, onChange);
}

/**
 * The key to seal with where no frame tells one: what the members were last seen to seal with in this thread, because a change of
 * keys reaches them and this fence's files at different times; the primary key of the files before that.
 */
export function keyOfRing(keyring: Keyring): number {
  return keys.get(keyring) ?? PRIMARY_KEY;
}
