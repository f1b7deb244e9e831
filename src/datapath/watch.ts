/** Reading along with one direction of a stream after its bytes have gone on: inspection, and in `observe` the shield, which only counts. */
import type { ShieldReason } from '../policy/reason.ts';
import type { FrameSource } from '../ring/source.ts';
import { createStreamInterest } from '../ring/stream-interest.ts';
import { DSKIT_DIGEST_BYTES } from '../wire/limits.ts';
import { type HoldClaim, type StreamBudgets, weightOf } from './budget.ts';
import type { HoldSettings } from './hold.ts';
import type { StreamTap } from './inside.ts';
import { joined } from './look.ts';

/** A dskit packet that only inspection wants is collected up to this; members' packets are far below it, values of the KV store too. */
export const INSPECTED_PACKET_MAX_BYTES = 1024 * 1024;

export interface Watch {
  /** Bytes after the label, in order; while `keeps` says so they must not change any more, otherwise not before this returns. */
  push(chunk: Uint8Array): void;
  /** No more will come; `complete` is false when the stream was cut. Further calls do nothing. */
  end(complete: boolean): void;
  /** Whether it may keep what the next `push` brings. Once false, it stays so. */
  keeps(): boolean;
  /** Whether it may look at what the next `push` brings. Once false, it stays so. */
  looks(): boolean;
}

/** What looks for harm beside a stream that is not held: within the budget of held bytes, or not at all. */
export interface LateLook extends HoldSettings {
  onHarm(harm: ShieldReason): void;
}

/** Watches a stream of messages; inspection, as far as it is interested. */
export function watchStream(source: FrameSource, tap: StreamTap | undefined, late: LateLook | undefined): Watch {
  const interest = createStreamInterest(source);
  let inspects = tap !== undefined;
  const beside = late === undefined ? undefined : new Beside(late);
  let ended = false;
  return {
    push(chunk) {
      if (inspects) inspects = tap?.push(chunk) === true && interest.push(chunk);
      beside?.push(chunk);
    },
    end(complete) {
      if (ended) return;
      ended = true;
      tap?.end(complete);
      beside?.end(complete);
    },
    keeps: () => beside?.keeps() === true,
    looks: () => inspects || beside?.keeps() === true,
  };
}

/** Watches a dskit packet connection; `onPacket` is given the packet after its label once it is whole, if there was room for it. */
export function watchPacket(
  budgets: StreamBudgets,
  { rejected, peer }: FrameSource,
  onPacket: (body: Uint8Array) => void,
): Watch {
  const budget = rejected ? budgets.watchedRejected : budgets.watched;
  const claim = budget.claim(peer.address, () => undefined);
  let chunks: Uint8Array[] | undefined = [];
  let bytes = 0;
  const stop = (): void => {
    chunks = undefined;
    claim.release();
  };
  return {
    push(chunk) {
      if (chunks === undefined) return;
      bytes += chunk.length;
      chunks.push(chunk);
      if (!claim.take(weightOf(chunk)) || bytes > INSPECTED_PACKET_MAX_BYTES) stop();
    },
    end(complete) {
      const all = chunks;
      stop();
      if (all !== undefined && complete && bytes >= DSKIT_DIGEST_BYTES) {
        onPacket(joined(all).subarray(0, -DSKIT_DIGEST_BYTES));
      }
    },
    keeps: () => chunks !== undefined,
    looks: () => chunks !== undefined,
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
    this.#claim = late.budgets.held.claim(late.peer, () => undefined);
  }

  push(chunk: Uint8Array): void {
    if (this.#late === undefined) return;
    const { look, limits } = this.#late;
    this.#bytes += chunk.length;
    const room = this.#claim.take(weightOf(chunk));
    if (look.push(chunk)) this.#finish(this.#late);
    else if (!room || this.#bytes > limits.holdBytes) this.#stop();
  }

  end(complete: boolean): void {
    if (this.#late === undefined) return;
    if (complete) {
      this.#late.look.end();
      this.#finish(this.#late);
    } else this.#stop();
  }

  keeps(): boolean {
    return this.#late !== undefined;
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
