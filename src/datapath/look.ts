/**
 * What rules need to see of a stream's message before it may go on, and what goes on in its place. Nothing of it waits or writes: a hold
 * (hold.ts) feeds it.
 */
import type { ShieldReason } from '../policy/reason.ts';
import type { SealOutcome } from '../policy/tally.ts';
import type { EncryptionVersion, Keyring, SealForm } from '../wire/encryption.ts';
import type { MalformedReason } from '../wire/reason.ts';

/** How an encrypted message was sealed, so that its answer can be sealed the same way. */
export interface OpenedSeal {
  readonly keyring: Keyring;
  readonly form: SealForm;
  readonly version: EncryptionVersion;
  /** Position in `keyring`. */
  readonly key: number;
}

/** How what was taken goes on. */
export interface ReleaseAs {
  /** Whether a label header goes in front of it. */
  readonly labelled: boolean;
  /** How an opened stream message is sealed again; undefined: as it came. */
  readonly form: SealForm | undefined;
}

export interface Released {
  /** What goes on in place of the bytes that were taken, the same memory where nothing changed; undefined when nothing may. */
  readonly bytes: readonly Uint8Array[] | undefined;
  readonly resealed: boolean;
  /** Entries that quarantine took out. */
  readonly stripped: number;
  readonly dropped: number;
}

/** Reads one message, as it arrives. Total: whatever the bytes are, none of it throws. */
export interface Look {
  /** Takes the next bytes after the label; true once nothing more is needed. The chunk may be kept: it must not change. */
  push(chunk: Uint8Array): boolean;
  /** No more bytes will come; nothing more is needed then. */
  end(): void;
  /** What was taken, as it came. */
  taken(): readonly Uint8Array[];
  /** What would harm the receiver; undefined when nothing was found. */
  harm(): ShieldReason | undefined;
  /** Why the frame is none; undefined when nothing speaks against it. */
  malformed(): MalformedReason | undefined;
  /** What the message makes its receiver reserve, bytes. */
  announcedBytes(): number;
  /** How many bytes have to be taken in all, where that is known already; 0 otherwise. */
  needsBytes(): number;
  /** Which associated data opened it; undefined for a message that is not encrypted, or that was not read whole. */
  sealed(): SealOutcome | undefined;
  /** Undefined when the message was not encrypted, or no key opens it. */
  opened(): OpenedSeal | undefined;
  /** Whether its label says nothing about the app behind its sender (SeenFrame.neutral), as far as it was taken. */
  neutral(): boolean;
  /** Whether what was taken proves by itself that nothing of it is missing: it is complete then however its connection ended. */
  isWhole(): boolean;
  /** A dskit packet after its label, once it was taken whole; undefined for anything else. To be asked before `release`. */
  packet(): Uint8Array | undefined;
  /** Called once, when nothing more is needed; the look keeps nothing of what it took. */
  release(as: ReleaseAs): Released;
}

/** Bytes that go on as they came. */
export function unchanged(bytes: readonly Uint8Array[]): Released {
  return { bytes, resealed: false, stripped: 0, dropped: 0 };
}

/** Chunks as one buffer; the same memory where there is only one. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
}

export function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
