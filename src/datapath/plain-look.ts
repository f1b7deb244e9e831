/** The look into a stream's message that is not encrypted, or that was opened: the shield, and quarantine. */
import type { ShieldReason } from '../policy/reason.ts';
import { createStreamShield, type StreamShield, type StreamShieldLimits } from '../policy/shield-stream.ts';
import type { QuarantineSet } from '../ring/quarantine.ts';
import { quarantinePushPull } from '../ring/quarantine-push-pull.ts';
import type { FrameSource } from '../ring/source.ts';
import type { Keyring } from '../wire/encryption.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { createStreamReader, type StreamReader } from '../wire/stream-reader.ts';
import { joined, type Look, type Released, unchanged } from './look.ts';

/** What has to be looked at; what is undefined has not. */
export interface StreamRules {
  readonly shield: StreamShieldLimits | undefined;
  readonly quarantine: QuarantineSet | undefined;
  readonly keyring: Keyring | undefined;
  /** The own label, which may be in the associated data of an encrypted message. */
  readonly label: Uint8Array;
  readonly source: FrameSource;
  /** False: only the harm is asked for, and nothing is kept for a release. */
  readonly releases: boolean;
}

/** A message that is not encrypted, or that was opened. */
export class PlainLook implements Look {
  readonly #rules: StreamRules;
  #chunks: Uint8Array[] = [];
  #shield: StreamShield | undefined;
  #announcedBytes = 0;
  #clear: boolean;
  #harm: ShieldReason | undefined;
  /** Reads along to the end of what quarantine looks at whole: anything but a user message. */
  #reader: StreamReader | undefined;
  #isUser = false;
  #wanted: boolean;
  #whole = false;
  #first: number | undefined;

  constructor(rules: StreamRules) {
    this.#rules = rules;
    this.#shield = rules.shield === undefined ? undefined : createStreamShield(rules.shield);
    this.#clear = this.#shield === undefined;
    this.#reader = rules.quarantine === undefined ? undefined : this.#createReader();
    this.#wanted = this.#reader !== undefined;
  }

  push(chunk: Uint8Array): boolean {
    this.#first ??= chunk[0];
    if (this.#rules.releases) this.#chunks.push(chunk);
    if (this.#shield !== undefined && !this.#clear) this.#note(this.#shield.push(chunk));
    if (this.#reader !== undefined && this.#wanted) this.#follow(this.#reader.push(chunk));
    return this.#harm !== undefined || (this.#clear && !this.#wanted);
  }

  end(): void {
    if (this.#shield !== undefined && !this.#clear && this.#harm === undefined) this.#note(this.#shield.end());
    if (this.#reader !== undefined && this.#wanted) this.#follow(this.#reader.end());
  }

  harm(): ShieldReason | undefined {
    return this.#harm;
  }

  announcedBytes(): number {
    return this.#announcedBytes;
  }

  needsBytes(): number {
    return 0;
  }

  taken(): readonly Uint8Array[] {
    return this.#chunks;
  }

  malformed(): undefined {}

  isWhole(): boolean {
    return false;
  }

  packet(): undefined {}

  sealed(): undefined {}

  opened(): undefined {}

  neutral(): boolean {
    return this.#first === MESSAGE_TYPE.ping;
  }

  release(): Released {
    const { quarantine, source } = this.#rules;
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#shield = undefined;
    this.#reader = undefined;
    if (quarantine === undefined || this.#isUser || !this.#whole) return unchanged(chunks);
    const { message, stripped, dropped } = quarantinePushPull(joined(chunks), quarantine, source);
    if (stripped + dropped === 0) return unchanged(chunks);
    return { bytes: message === undefined ? undefined : [message], resealed: false, stripped, dropped };
  }

  #createReader(): StreamReader {
    return createStreamReader({
      userMessage: () => {
        this.#isUser = true;
      },
    });
  }

  #note({ state, reason }: ReturnType<StreamShield['push']>): void {
    this.#announcedBytes = this.#shield?.announcedBytes() ?? 0;
    if (state === 'clear') this.#clear = true;
    else if (state === 'harm') this.#harm = reason;
  }

  #follow({ state }: ReturnType<StreamReader['push']>): void {
    this.#whole = state === 'done';
    this.#wanted = state === 'reading' || (state === 'body' && !this.#isUser);
  }
}
