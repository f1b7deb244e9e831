/** The look into a native stream's message (after its label, in any chunking). Its first byte says whether it is encrypted. */
import type { ShieldReason } from '../policy/reason.ts';
import type { SealOutcome } from '../policy/tally.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import type { Look, OpenedSeal, ReleaseAs, Released } from './look.ts';
import { PlainLook, type StreamRules } from './plain-look.ts';
import { SealedLook } from './sealed-look.ts';

export type { StreamRules };

/** Whether a message of this first byte has to be looked into at all. */
export function needsLook({ shield, quarantine, keyring }: StreamRules, messageType: number | undefined): boolean {
  if (messageType === undefined) return false;
  if (messageType === MESSAGE_TYPE.encrypt) return keyring !== undefined;
  return shield !== undefined || quarantine !== undefined;
}

/** Starts a look; the first byte says whether the message is encrypted. */
export function createStreamLook(rules: StreamRules): Look {
  return new StreamLook(rules);
}

/** Becomes what the first byte says. */
class StreamLook implements Look {
  readonly #rules: StreamRules;
  #of: Look;

  constructor(rules: StreamRules) {
    this.#rules = rules;
    this.#of = new PlainLook({ ...rules, shield: undefined, quarantine: undefined });
  }

  #started = false;

  push(chunk: Uint8Array): boolean {
    if (chunk.length === 0) return false;
    if (!this.#started) {
      this.#started = true;
      if (chunk[0] !== MESSAGE_TYPE.encrypt) this.#of = new PlainLook(this.#rules);
      else if (this.#rules.keyring !== undefined) this.#of = new SealedLook(this.#rules, this.#rules.keyring);
    }
    return this.#of.push(chunk);
  }

  end(): void {
    this.#of.end();
  }

  harm(): ShieldReason | undefined {
    return this.#of.harm();
  }

  announcedBytes(): number {
    return this.#of.announcedBytes();
  }

  needsBytes(): number {
    return this.#of.needsBytes();
  }

  taken(): readonly Uint8Array[] {
    return this.#of.taken();
  }

  malformed(): undefined {}

  isWhole(): boolean {
    return false;
  }

  packet(): undefined {}

  sealed(): SealOutcome | undefined {
    return this.#of.sealed();
  }

  opened(): OpenedSeal | undefined {
    return this.#of.opened();
  }

  neutral(): boolean {
    return this.#of.neutral();
  }

  release(as: ReleaseAs): Released {
    return this.#of.release(as);
  }
}
