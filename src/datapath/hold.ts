/**
 * Holding a stream until a rule has seen what it needs: the requests of diallers before the other side is dialled (HeldRequest), and answers
 * on their way through the relay (held-answer.ts). Bounded in time, in bytes of the stream and in bytes of all streams.
 */
import { type AnnouncedClaim, type HoldClaim, type StreamBudgets, weightOf } from './budget.ts';
import { confirmFin } from './endings.ts';
import type { PathLimits } from './engine.ts';
import type { Look } from './look.ts';
import type { SocketOwner, StreamSocket } from './socket.ts';
import type { Timer, Timers } from './timers.ts';

/** Why holding ended without a result. */
export type HoldRefusal = 'hold_timeout' | 'hold_limit' | 'shield_memory';

export interface HoldSettings {
  readonly look: Look;
  readonly timers: Timers;
  readonly limits: Pick<PathLimits, 'holdTimeoutMs' | 'holdBytes'>;
  readonly budgets: StreamBudgets;
  /** The remote member's address, whose share of the budgets it uses. */
  readonly peer: string;
}

/** The bytes that one stream occupies; given back in two steps, because what is announced lives as long as the stream. */
export interface Held {
  /** The held bytes have been written. */
  written(): void;
  /** The stream is over. */
  close(): void;
}

/** Exactly one of `ready` and `refused` is called, once. */
export abstract class Hold implements Held {
  protected readonly settings: HoldSettings;
  /** Made with the first bytes: an answer may be long in coming. */
  #claim: HoldClaim | undefined;
  #announced: AnnouncedClaim | undefined;
  #timer: Timer | undefined;
  #bytes = 0;
  #waiting = false;
  /** `room`: all is read, but what it announces has no room yet. */
  #state: 'reading' | 'room' | 'settled' = 'reading';

  constructor(settings: HoldSettings) {
    this.settings = settings;
  }

  /** Nothing more should be read, or it may go on. */
  protected abstract pause(): void;
  protected abstract resume(): void;
  /** The look is done, harm or not, and what the message announces has room. */
  protected abstract ready(): void;
  protected abstract refused(reason: HoldRefusal): void;

  /** Ignored once it is settled. */
  protected take(chunk: Uint8Array): void {
    if (this.#state !== 'reading' || chunk.length === 0) return;
    const { look, timers, limits, budgets, peer } = this.settings;
    this.#timer ??= timers.set(limits.holdTimeoutMs, () =>
      this.#refuse(this.#state === 'room' ? 'shield_memory' : 'hold_timeout'),
    );
    this.#bytes += chunk.length;
    this.#claim ??= budgets.held.claim(peer, () => this.#onRoom());
    const mayRead = this.#claim.take(weightOf(chunk));
    if (look.push(chunk)) this.#done();
    else if (Math.max(this.#bytes, look.needsBytes()) > limits.holdBytes) this.#refuse('hold_limit');
    else if (!mayRead) {
      this.#waiting = true;
      this.pause();
    }
  }

  protected ended(): void {
    if (this.#state !== 'reading') return;
    this.settings.look.end();
    this.#done();
  }

  /** Nothing may be read: it would be lost while what is announced waits for room. */
  protected waiting(): boolean {
    return this.#waiting || this.#state === 'room';
  }

  protected settled(): boolean {
    return this.#state === 'settled';
  }

  written(): void {
    this.#claim?.release();
  }

  close(): void {
    this.#settle();
    this.#claim?.release();
    this.#announced?.release();
  }

  #onRoom(): void {
    this.#waiting = false;
    if (this.#state === 'reading') this.resume();
  }

  #done(): void {
    const { look, budgets, peer } = this.settings;
    const bytes = look.harm() === undefined ? look.announcedBytes() : 0;
    this.#state = 'room';
    if (bytes === 0) {
      this.#ready();
      return;
    }
    this.pause();
    this.#announced = budgets.announced.claim(peer, bytes, () => this.#ready());
    if (this.#announced === undefined) this.#refuse('shield_memory');
  }

  #ready(): void {
    if (this.#state !== 'room') return;
    this.#settle();
    this.ready();
  }

  #refuse(reason: HoldRefusal): void {
    if (this.#state === 'settled') return;
    this.close();
    this.refused(reason);
  }

  #settle(): void {
    this.#state = 'settled';
    this.#timer?.clear();
  }
}

/** Who wants a held request; exactly one of these is called, once, maybe before `start` returns. */
export interface HeldRequestTaker {
  /**
   * The look is done. The socket is paused and belongs to the caller again, who closes `held` with the stream. `ended`: nothing follows,
   * that is certain.
   */
  requestHeld(held: Held, ended: boolean): void;
  requestRefused(reason: HoldRefusal): void;
  /** The dialler closed or reset the connection before that. */
  requestGone(): void;
}

/** Reads a dialler's socket until the look is done; to be told of the socket's events from `start` on. */
export class HeldRequest extends Hold implements SocketOwner {
  readonly #socket: StreamSocket;
  readonly #taker: HeldRequestTaker;
  #ended = false;

  constructor(socket: StreamSocket, settings: HoldSettings, taker: HeldRequestTaker) {
    super(settings);
    this.#socket = socket;
    this.#taker = taker;
  }

  /** `first` was read already. */
  start(first: Uint8Array): void {
    this.take(first);
    if (this.settled()) return;
    if (this.#socket.readableEnded) this.onEnd();
    else if (!this.waiting()) this.#socket.resume();
  }

  onData(_socket: StreamSocket, chunk: Buffer): void {
    this.take(chunk);
  }

  onEnd(): void {
    if (this.settled()) return;
    if (this.settings.look.isWhole()) this.#end();
    else confirmFin(this.#socket, () => this.#end());
  }

  onDrain(): void {}

  onConnect(): void {}

  onError(): void {}

  onClose(): void {
    if (this.settled()) return;
    this.close();
    this.#taker.requestGone();
  }

  protected pause(): void {
    this.#socket.pause();
  }

  protected resume(): void {
    this.#socket.resume();
  }

  protected ready(): void {
    this.#socket.pause();
    this.#taker.requestHeld(this, this.#ended);
  }

  protected refused(reason: HoldRefusal): void {
    this.#socket.pause();
    this.#taker.requestRefused(reason);
  }

  #end(): void {
    this.#ended = true;
    this.ended();
  }
}
