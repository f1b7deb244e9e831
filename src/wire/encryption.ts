/**
 * Gossip encryption (wire-protocol §1 layer 2, §2): AES-GCM under one of several keys, the label as associated data.
 */
import type { Parsed } from './codec-reason.ts';

/** Keys in the order of preference; the first seals new frames. Holds key material: never log or show one. */
export interface Keyring {
  readonly size: number;
}

/** Which associated data opened a frame: the label's bytes (a native member), or none (a member that predates labels). */
export type SealForm = 'label' | 'empty';

export interface Opened {
  /** A new buffer. */
  readonly plain: Uint8Array;
  readonly version: 0 | 1;
  /** Position of the key in the ring: what is sealed anew takes the same one. */
  readonly key: number;
  readonly form: SealForm;
}

export type OpenPacket = (keyring: Keyring, sealed: Uint8Array, label: Uint8Array) => Parsed<Opened>;
