/**
 * Gossip encryption (wire-protocol §1 layer 2, §2): AES-GCM under one of several keys, the label as associated data.
 *
 *   sealed         vsn(1) nonce(12) ciphertext tag(16)                 vsn 0: the plaintext is padded with PKCS#7 to 16 bytes
 *   packet         sealed                                              associated data: label
 *   stream         10 len32 sealed[len32]                              associated data: 10 len32 label
 *
 * Mirrors memberlist security.go `encryptPayload` and `decryptPayload`, net.go `encryptLocalState` and `decryptRemoteState`. A member
 * that predates labels has none in its associated data, whatever label a fence puts in front: so both forms are tried.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { failed, type Parsed } from './codec-reason.ts';
import { KEYRING_KEYS_MAX, SEALED_STREAM_MAX_BYTES } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { decodeMessage } from './messages.ts';

export type EncryptionVersion = 0 | 1;

const VERSION_BYTES = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BLOCK_BYTES = 16;
const CIPHER_AT = VERSION_BYTES + NONCE_BYTES;

/** security.go `encryptOverhead`: what sealing adds at least; version 0 adds 1 to 16 bytes of padding. */
const OVERHEAD_BYTES = CIPHER_AT + TAG_BYTES;

/** Type byte and length of an encrypted stream. */
export const SEALED_STREAM_HEADER_BYTES = 5;

const CIPHER_OF_KEY_BYTES = { 16: 'aes-128-gcm', 24: 'aes-192-gcm', 32: 'aes-256-gcm' } as const;
const NO_BYTES = new Uint8Array(0);

interface Key {
  readonly secret: KeyObject;
  readonly cipher: (typeof CIPHER_OF_KEY_BYTES)[keyof typeof CIPHER_OF_KEY_BYTES];
}

/** Keys in the order of preference; the first seals new frames. Shows nothing of them: not inspected, not as JSON, not cloned. */
class PrivateKeyring {
  readonly #keys: readonly Key[];

  constructor(keys: readonly Uint8Array[]) {
    if (keys.length > KEYRING_KEYS_MAX) {
      throw new RangeError(`a keyring holds at most ${KEYRING_KEYS_MAX} keys, not ${keys.length}`);
    }
    this.#keys = keys.map((key) => {
      const cipher = CIPHER_OF_KEY_BYTES[key.length as keyof typeof CIPHER_OF_KEY_BYTES];
      if (cipher === undefined) throw new RangeError(`a key has 16, 24 or 32 bytes, not ${key.length}`);
      return { secret: createSecretKey(key), cipher };
    });
  }

  get size(): number {
    return this.#keys.length;
  }

  /** The plaintext under one key, padding and all; undefined when the tag does not fit. */
  open(index: number, sealed: Uint8Array, aad: Uint8Array): Buffer | undefined {
    const { secret, cipher } = this.#at(index);
    const tagAt = sealed.length - TAG_BYTES;
    // A wrong tag is an exception, and its stack half of what it costs: a flood of forged packets must not pay for that.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      const nonce = sealed.subarray(VERSION_BYTES, CIPHER_AT);
      const decipher = createDecipheriv(cipher, secret, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(aad);
      decipher.setAuthTag(sealed.subarray(tagAt));
      const plain = decipher.update(sealed.subarray(CIPHER_AT, tagAt));
      decipher.final();
      return plain;
    } catch {
      return undefined;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }

  /** `head`, then the sealed form of `plain` under a fresh nonce. */
  seal(index: number, plain: Uint8Array, aad: Uint8Array, version: EncryptionVersion, head: Uint8Array): Uint8Array {
    const { secret, cipher } = this.#at(index);
    const nonce = randomBytes(NONCE_BYTES);
    const encipher = createCipheriv(cipher, secret, nonce, { authTagLength: TAG_BYTES });
    encipher.setAAD(aad);
    const body = encipher.update(plain);
    const padding = version === 0 ? encipher.update(paddingOf(plain.length)) : NO_BYTES;
    encipher.final();
    return Buffer.concat([head, Uint8Array.of(version), nonce, body, padding, encipher.getAuthTag()]);
  }

  #at(index: number): Key {
    const key = this.#keys[index];
    if (key === undefined) throw new RangeError(`no key ${index} in a keyring of ${this.#keys.length}`);
    return key;
  }
}

/** Holds key material; made by createKeyring only. */
export type Keyring = PrivateKeyring;

/** Which associated data opened a frame: the label's bytes (a native member), or none (a member that predates labels). */
export type SealForm = 'label' | 'empty';

export interface Opened {
  /** A new buffer, never empty. */
  readonly plain: Uint8Array;
  readonly version: EncryptionVersion;
  /** Position of the key in the ring: what is sealed anew takes the same one. */
  readonly key: number;
  /** `empty` for every unlabelled frame. */
  readonly form: SealForm;
}

/** A keyring of 0 to 32 keys of 16, 24 or 32 bytes, which it copies; a RangeError otherwise, which never holds a key. */
export function createKeyring(keys: readonly Uint8Array[]): Keyring {
  return new PrivateKeyring(keys);
}

/**
 * Opens a packet (after its label header). Tries every key with the label as associated data, then every key without. Total.
 *
 * `no_key`: nothing opens it. `plaintext_empty`, `padding`: it was sealed by someone who has a key and ends the members that open
 * it (memberlist takes the first byte of nothing, or a slice of negative length). `truncated`, `encryption_version`: it is no
 * sealed packet, and memberlist does not take it for one.
 */
export function openPacket(keyring: Keyring, sealed: Uint8Array, label: Uint8Array): Parsed<Opened> {
  return openSealed(keyring, sealed, NO_BYTES, label);
}

/** Seals a packet as a member would. `key` is a position in the ring: a RangeError when there is none. A new buffer. */
export function sealPacket(
  keyring: Keyring,
  plain: Uint8Array,
  aad: Uint8Array,
  version: EncryptionVersion,
  key: number,
): Uint8Array {
  return keyring.seal(key, plain, aad, version, NO_BYTES);
}

/** How long an encrypted stream frame is, header included, once its five header bytes are there. May be more than a member takes. */
export function streamFrameBytes(head: Uint8Array): number | undefined {
  if (head.length < SEALED_STREAM_HEADER_BYTES) return undefined;
  return SEALED_STREAM_HEADER_BYTES + new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(1);
}

/**
 * Opens a stream frame from its type byte (10) on; what follows it is ignored, as memberlist does. Reasons as openPacket's;
 * `sealed_limit` when it announces more than memberlist takes, and `truncated` says how many bytes have to be there.
 */
export function openStream(keyring: Keyring, frame: Uint8Array, label: Uint8Array): Parsed<Opened> {
  if (frame.length > 0 && frame[0] !== MESSAGE_TYPE.encrypt) return failed('type_unexpected', 0);
  const size = streamFrameBytes(frame);
  if (size === undefined) return failed('truncated', SEALED_STREAM_HEADER_BYTES);
  if (size - SEALED_STREAM_HEADER_BYTES > SEALED_STREAM_MAX_BYTES) return failed('sealed_limit', 1);
  if (frame.length < size) return failed('truncated', size);
  const head = frame.subarray(0, SEALED_STREAM_HEADER_BYTES);
  return openSealed(keyring, frame.subarray(SEALED_STREAM_HEADER_BYTES, size), head, label);
}

/** Seals a stream message, its five header bytes included. A new buffer; `key` as in sealPacket. */
export function sealStream(
  keyring: Keyring,
  plain: Uint8Array,
  label: Uint8Array,
  version: EncryptionVersion,
  key: number,
): Uint8Array {
  const head = new Uint8Array(SEALED_STREAM_HEADER_BYTES);
  head[0] = MESSAGE_TYPE.encrypt;
  const padding = version === 0 ? BLOCK_BYTES - (plain.length % BLOCK_BYTES) : 0;
  new DataView(head.buffer).setUint32(1, OVERHEAD_BYTES + plain.length + padding);
  return keyring.seal(key, plain, Buffer.concat([head, label]), version, head);
}

/**
 * Guesses, without a key, whether a packet (after its label) is encrypted: version 0 or 1, long enough, of a length that the version
 * can have, and no ping or indirect ping of named fields, which start with the same bytes. Random bytes pass for such a ping less than once
 * in 2^40 packets, so nearly every encrypted packet is told. In the other direction, a ping that is broken, names neither
 * a number nor a node, or is written as an array counts as encrypted; no member writes one.
 */
export function looksEncrypted(packet: Uint8Array): boolean {
  const [version, second] = packet;
  if (version === 0) {
    if (packet.length < OVERHEAD_BYTES + BLOCK_BYTES || (packet.length - OVERHEAD_BYTES) % BLOCK_BYTES !== 0)
      return false;
  } else if (version !== 1 || packet.length < OVERHEAD_BYTES) return false;
  if (second === undefined || !isMapOfFields(second)) return true;
  const message = decodeMessage(packet);
  if (!message.ok || (message.value.type !== 'ping' && message.value.type !== 'indirectPing')) return true;
  return message.value.SeqNo === 0 && message.value.Node === '';
}

/** msgpack: a fixmap of at least one entry, map16 or map32. */
function isMapOfFields(byte: number): boolean {
  return (byte > 0x80 && byte <= 0x8f) || byte === 0xde || byte === 0xdf;
}

function openSealed(keyring: Keyring, sealed: Uint8Array, head: Uint8Array, label: Uint8Array): Parsed<Opened> {
  const version = sealed[0];
  if (version === undefined) return failed('truncated', OVERHEAD_BYTES);
  if (version !== 0 && version !== 1) return failed('encryption_version', 0);
  // security.go encryptedLength(vsn, 0): the padding of nothing is a whole block.
  const least = version === 0 ? OVERHEAD_BYTES + BLOCK_BYTES : OVERHEAD_BYTES;
  if (sealed.length < least) return failed('truncated', least);
  if (label.length > 0) {
    const opened = openWith(keyring, sealed, Buffer.concat([head, label]), version, 'label');
    if (opened !== undefined) return opened;
  }
  return openWith(keyring, sealed, head, version, 'empty') ?? failed('no_key', 0);
}

function openWith(
  keyring: Keyring,
  sealed: Uint8Array,
  aad: Uint8Array,
  version: EncryptionVersion,
  form: SealForm,
): Parsed<Opened> | undefined {
  for (let key = 0; key < keyring.size; key++) {
    const padded = keyring.open(key, sealed, aad);
    if (padded === undefined) continue;
    const plain = version === 0 ? unpad(padded) : padded;
    if (plain === undefined) return failed('padding', CIPHER_AT);
    return plain.length === 0
      ? failed('plaintext_empty', CIPHER_AT)
      : { ok: true, value: { plain, version, key, form } };
  }
  return undefined;
}

/** security.go `pkcs7encode`. */
function paddingOf(size: number): Uint8Array {
  const more = BLOCK_BYTES - (size % BLOCK_BYTES);
  return new Uint8Array(more).fill(more);
}

/**
 * security.go `pkcs7decode`, which looks at the last byte only and takes as many off, 0 or more than a block too; undefined
 * where it slices to before the start, which ends the process.
 */
function unpad(padded: Uint8Array): Uint8Array | undefined {
  const size = padded.length - (padded[padded.length - 1] as number);
  return size < 0 ? undefined : padded.subarray(0, size);
}
