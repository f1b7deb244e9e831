/** The look into an encrypted stream message: opened with the gossip keys, looked into, and sealed again where something has to change. */
import type { ShieldReason } from '../policy/reason.ts';
import type { SealOutcome } from '../policy/tally.ts';
import {
  type Keyring,
  openStream,
  SEALED_STREAM_HEADER_BYTES,
  sealStream,
  streamFrameBytes,
} from '../wire/encryption.ts';
import { SEALED_STREAM_MAX_BYTES } from '../wire/limits.ts';
import { joined, type Look, type OpenedSeal, type ReleaseAs, type Released, unchanged } from './look.ts';
import { PlainLook, type StreamRules } from './plain-look.ts';

const NO_BYTES = new Uint8Array(0);

/** An encrypted message, taken whole before it can be opened: `10 len32 sealed`. What no key opens goes on as it came. */
export class SealedLook implements Look {
  readonly #rules: StreamRules;
  readonly #keyring: Keyring;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #frameBytes: number | undefined;
  #inner: PlainLook | undefined;
  #opened: OpenedSeal | undefined;
  #sealed: SealOutcome | undefined;
  #harm: ShieldReason | undefined;

  constructor(rules: StreamRules, keyring: Keyring) {
    this.#rules = rules;
    this.#keyring = keyring;
  }

  push(chunk: Uint8Array): boolean {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#frameBytes ??= streamFrameBytes(this.#chunks.length === 1 ? chunk : joined(this.#chunks));
    if (this.#frameBytes === undefined) return false;
    // Every member refuses such a frame by its announcement (net.go decryptRemoteState).
    if (this.#frameBytes > SEALED_STREAM_MAX_BYTES + SEALED_STREAM_HEADER_BYTES) return true;
    if (this.#bytes < this.#frameBytes) return false;
    this.#open();
    return true;
  }

  end(): void {}

  taken(): readonly Uint8Array[] {
    return this.#chunks;
  }

  malformed(): undefined {}

  isWhole(): boolean {
    return false;
  }

  packet(): undefined {}

  harm(): ShieldReason | undefined {
    return this.#harm ?? this.#inner?.harm();
  }

  announcedBytes(): number {
    return this.#inner?.announcedBytes() ?? 0;
  }

  needsBytes(): number {
    return this.#frameBytes ?? 0;
  }

  sealed(): SealOutcome | undefined {
    return this.#sealed;
  }

  opened(): OpenedSeal | undefined {
    return this.#opened;
  }

  neutral(): boolean {
    return this.#inner?.neutral() ?? false;
  }

  release({ form }: ReleaseAs): Released {
    const opened = this.#opened;
    const inner = this.#inner?.release();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#inner = undefined;
    if (opened === undefined || inner === undefined) return unchanged(chunks);
    const { bytes, stripped, dropped } = inner;
    if (bytes === undefined) return { bytes, resealed: false, stripped, dropped };
    const target = form ?? opened.form;
    if (stripped + dropped === 0 && target === opened.form) return unchanged(chunks);
    const label = target === 'label' ? this.#rules.label : NO_BYTES;
    const sealed = sealStream(this.#keyring, joined(bytes), label, opened.version, opened.key);
    const after = joined(chunks).subarray(this.#frameBytes);
    return { bytes: after.length === 0 ? [sealed] : [sealed, after], resealed: true, stripped, dropped };
  }

  #open(): void {
    const { label, shield } = this.#rules;
    const frame = joined(this.#chunks);
    const opened = openStream(this.#keyring, frame, label);
    if (opened.ok) {
      const { plain, ...seal } = opened.value;
      this.#opened = { keyring: this.#keyring, ...seal };
      this.#sealed = seal.form;
      this.#inner = new PlainLook(this.#rules);
      this.#inner.push(plain);
      this.#inner.end();
    } else if (shield !== undefined && (opened.reason === 'plaintext_empty' || opened.reason === 'padding')) {
      this.#harm = 'shield_empty_plaintext';
    } else if (opened.reason === 'no_key') this.#sealed = 'no_key';
    // One buffer from here on, so that a release need not join them again.
    this.#chunks = [frame];
  }
}
