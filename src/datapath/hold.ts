/**
 * Holding a stream until a rule has seen what it needs: the requests of diallers before the other side is dialled (HeldRequest), and answers
 * on their way through the relay (holding). Bounded in time, in bytes of the stream and in bytes of all streams.
 */
import { type AnnouncedClaim, type HoldClaim, type StreamBudgets, weightOf } from './budget.ts';
import type { PathLimits } from './engine.ts';
import type { FlowOf } from './flow.ts';
import type { Look } from './look.ts';
import { confirmFin } from './relay.ts';
import type { StreamSocket } from './socket.ts';
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

/** What a hold asks of whoever reads. Exactly one of `onReady` and `onRefused` is called, once. */
interface HoldEvents {
  /** Nothing more should be read, or it may go on. */
  pause(): void;
  resume(): void;
  /** The look is done, harm or not, and what the message announces has room. */
  onReady(): void;
  onRefused(reason: HoldRefusal): void;
}

/** The bytes that one stream occupies; given back in two steps, because what is announced lives as long as the stream. */
export interface Held {
  /** The held bytes have been written. */
  written(): void;
  /** The stream is over. */
  close(): void;
}

class Hold implements Held {
  readonly #settings: HoldSettings;
  /** Undefined once it is settled: what they reach may be large, and a hold lives as long as its stream. */
  #events: HoldEvents | undefined;
  /** Made with the first bytes: an answer may be long in coming. */
  #claim: HoldClaim | undefined;
  #announced: AnnouncedClaim | undefined;
  #timer: Timer | undefined;
  #bytes = 0;
  #waiting = false;
  /** `room`: all is read, but what it announces has no room yet. */
  #state: 'reading' | 'room' | 'settled' = 'reading';

  constructor(settings: HoldSettings, events: HoldEvents) {
    this.#settings = settings;
    this.#events = events;
  }

  /** Ignored once it is settled. */
  push(chunk: Uint8Array): void {
    if (this.#state !== 'reading' || chunk.length === 0) return;
    const { look, timers, limits, budgets, peer } = this.#settings;
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
      this.#events?.pause();
    }
  }

  end(): void {
    if (this.#state !== 'reading') return;
    this.#settings.look.end();
    this.#done();
  }

  /** Nothing may be read: it would be lost while what is announced waits for room. */
  waiting(): boolean {
    return this.#waiting || this.#state === 'room';
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
    if (this.#state === 'reading') this.#events?.resume();
  }

  #done(): void {
    const { look, budgets, peer } = this.#settings;
    const bytes = look.harm() === undefined ? look.announcedBytes() : 0;
    this.#state = 'room';
    this.#events?.pause();
    this.#announced = budgets.announced.claim(peer, bytes, () => this.#ready());
    if (this.#announced === undefined) this.#refuse('shield_memory');
  }

  #ready(): void {
    if (this.#state !== 'room') return;
    const events = this.#events;
    this.#settle();
    events?.onReady();
  }

  #refuse(reason: HoldRefusal): void {
    if (this.#state === 'settled') return;
    const events = this.#events;
    this.close();
    events?.onRefused(reason);
  }

  #settle(): void {
    this.#state = 'settled';
    this.#events = undefined;
    this.#timer?.clear();
  }
}

export interface HeldRequestEvents {
  /**
   * The look is done. The socket is paused and belongs to the caller again, who closes `held` with the stream. `ended`: nothing follows,
   * that is certain.
   */
  onReady(held: Held, ended: boolean): void;
  onRefused(reason: HoldRefusal): void;
  /** The dialler closed or reset the connection before that. */
  onGone(): void;
}

/**
 * Reads a dialler's socket, of which `first` was read already, until the look is done; exactly one of the events' callbacks is called,
 * maybe before this returns.
 */
export function holdRequest(
  socket: StreamSocket,
  first: Uint8Array,
  settings: HoldSettings,
  events: HeldRequestEvents,
): void {
  let reading = true;
  let ended = false;
  const end = (): void => {
    ended = true;
    hold.end();
  };
  const stop = (): void => {
    reading = false;
    socket.off('data', onData).off('end', onEnd).off('close', onClose);
    socket.pause();
  };
  const hold = new Hold(settings, {
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    onReady() {
      stop();
      events.onReady(hold, ended);
    },
    onRefused(reason) {
      stop();
      events.onRefused(reason);
    },
  });
  const onData = (chunk: Buffer): void => hold.push(chunk);
  const onEnd = (): void => {
    if (settings.look.isWhole()) end();
    else confirmFin(socket, end);
  };
  const onClose = (): void => {
    stop();
    hold.close();
    events.onGone();
  };
  socket.on('data', onData).on('end', onEnd).on('close', onClose);
  hold.push(first);
  if (!reading) return;
  if (socket.readableEnded) onEnd();
  else if (!hold.waiting()) socket.resume();
}

/**
 * An answer that is held before it flows. `release` says what is written in place of the held bytes, undefined when it has cut the
 * stream instead. The caller closes what `onHeld` is given with the stream.
 */
export function holding(
  settings: HoldSettings,
  onHeld: (held: Held) => void,
  release: () => readonly Uint8Array[] | undefined,
): FlowOf {
  return (sink) => {
    let flowing = false;
    let ended = false;
    const hold = new Hold(settings, {
      pause: () => sink.pause(),
      resume: () => sink.resume(),
      onReady() {
        const out = release();
        if (out === undefined) return;
        flowing = true;
        sink.resume();
        for (const [i, bytes] of out.entries())
          sink.write(bytes, i === out.length - 1 ? () => hold.written() : undefined);
        if (ended) sink.finish();
      },
      onRefused: (reason) => sink.cut(reason),
    });
    onHeld(hold);
    return {
      push: (chunk) => (flowing ? sink.write(chunk) : hold.push(chunk)),
      end() {
        ended = true;
        if (flowing) sink.finish();
        else hold.end();
      },
      keeps: () => !flowing,
    };
  };
}
