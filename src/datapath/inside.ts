/** What a data path is given to look below the label: keys, quarantine, and where to offer frames for inspection. */
import type { QuarantineRules, QuarantineSet } from '../ring/quarantine.ts';
import type { FrameSource } from '../ring/source.ts';
import type { Keyring } from '../wire/encryption.ts';

/** Reads along with one direction of a stream. Never throws; stops by itself when its budget is used up. */
export interface StreamTap {
  /** Bytes after the label, in order, encrypted or not; read before it returns, not kept. False: what follows is not read. */
  push(chunk: Uint8Array): boolean;
  /** The side that wrote them has ended; `complete` is false when the stream was cut. */
  end(complete: boolean): void;
}

export interface Inside {
  /** The gossip keys; undefined without. Key files are re-read, so this is asked for every frame. */
  keyring(): Keyring | undefined;
  /** Whether outbound frames are sealed as a native member would seal them. */
  reseal(): boolean;
  /** Whose alive entries are stripped; undefined while quarantine is off. */
  quarantine(): QuarantineSet | undefined;
  /**
   * Whether a packet of `bytes` after its label would be taken now, rejected or not; where it would not, it counts as left out. To be asked
   * before a packet is offered, because most are not wanted under load.
   */
  room(rejected: boolean, bytes: number): boolean;
  /**
   * Offers a packet after its verdict was carried out. The bytes of `memory` from `at` to `end` follow the label and may be encrypted; they
   * are copied if they are kept. Under load some are left out, counted.
   */
  packet(source: FrameSource, memory: Uint8Array, at: number, end: number): void;
  /** Opens the inspection of one direction of a stream; undefined when the budget has no room, counted. */
  stream(source: FrameSource): StreamTap | undefined;
}

/** What of an Inside crosses to another thread: plain data. Holds key material: never log or show it. */
export interface InsideRules {
  /** Gossip keys in the order of preference; empty without. */
  readonly keys: readonly Uint8Array[];
  readonly reseal: boolean;
  /** Undefined while quarantine is off. */
  readonly quarantine: QuarantineRules | undefined;
}

/** Looks at nothing and changes nothing. */
export const NO_INSIDE: Inside = {
  keyring: () => undefined,
  reseal: () => false,
  quarantine: () => undefined,
  room: () => false,
  packet: () => undefined,
  stream: () => undefined,
};
