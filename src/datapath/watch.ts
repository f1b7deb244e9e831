/** Reading along with one direction of a stream after its bytes have gone on: inspection, and in `observe` the shield, which only counts. */
import type { ShieldReason } from '../policy/reason.ts';
import { DSKIT_DIGEST_BYTES } from '../wire/limits.ts';
import type { HoldClaim, StreamBudgets } from './budget.ts';
import type { StreamTap } from './inside.ts';
import { joined, type Look } from './look.ts';

/** A dskit packet that only inspection wants is collected up to this; members' packets are far below it, values of the KV store too. */
export const INSPECTED_PACKET_MAX_BYTES = 1024 * 1024;

export interface Watch {
  /** Bytes after the label, in order. */
  push(chunk: Uint8Array): void;
  /** No more will come; `complete` is false when the stream was cut. Further calls do nothing. */
  end(complete: boolean): void;
}

/** What looks for harm beside a stream that is not held: within the budget of held bytes, or not at all. */
export interface LateLook {
  readonly look: Look;
  readonly budgets: StreamBudgets;
  /** Bytes that it may keep. */
  readonly maxBytes: number;
  onHarm(harm: ShieldReason): void;
}

/** Watches a stream of messages. */
export function watchStream(tap: StreamTap | undefined, late: LateLook | undefined): Watch {
  const beside = late === undefined ? undefined : new Beside(late);
  let ended = false;
  return {
    push(chunk) {
      tap?.push(chunk);
      beside?.push(chunk);
    },
    end(complete) {
      if (ended) return;
      ended = true;
      tap?.end(complete);
      beside?.end(complete);
    },
  };
}

/** Watches a dskit packet connection; `onPacket` is given the packet after its label once it is whole. */
export function watchPacket(onPacket: (body: Uint8Array) => void): Watch {
  let chunks: Uint8Array[] = [];
  let bytes = 0;
  return {
    push(chunk) {
      bytes += chunk.length;
      if (bytes <= INSPECTED_PACKET_MAX_BYTES) chunks.push(chunk);
      else chunks = [];
    },
    end(complete) {
      const whole = complete && bytes >= DSKIT_DIGEST_BYTES && bytes <= INSPECTED_PACKET_MAX_BYTES;
      if (whole) onPacket(joined(chunks).subarray(0, -DSKIT_DIGEST_BYTES));
      bytes = 0;
      chunks = [];
    },
  };
}

/** A look beside the stream. */
class Beside {
  /** Undefined once it is over: it may have kept much. */
  #late: LateLook | undefined;
  readonly #claim: HoldClaim;
  #bytes = 0;

  constructor(late: LateLook) {
    this.#late = late;
    this.#claim = late.budgets.held.claim(() => undefined);
  }

  push(chunk: Uint8Array): void {
    if (this.#late === undefined) return;
    const { look, maxBytes } = this.#late;
    this.#bytes += chunk.length;
    const room = this.#claim.take(chunk.length);
    if (look.push(chunk)) this.#finish(this.#late);
    else if (!room || this.#bytes > maxBytes) this.#stop();
  }

  end(complete: boolean): void {
    if (this.#late === undefined) return;
    if (complete) {
      this.#late.look.end();
      this.#finish(this.#late);
    } else this.#stop();
  }

  #finish({ look, onHarm }: LateLook): void {
    this.#stop();
    const harm = look.harm();
    if (harm !== undefined) onHarm(harm);
  }

  #stop(): void {
    this.#late = undefined;
    this.#claim.release();
  }
}
