/** Opening the other side of an exchange, bounded in time. */
import type { AppHealth } from './app-health.ts';
import { reset } from './endings.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { StreamSocket } from './socket.ts';
import type { Timer, Timers } from './timers.ts';

interface DialParts {
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  readonly health: AppHealth;
  readonly timers: Timers;
}

/** One dial: to be told what becomes of its socket. Where it fails the dialler's socket is reset, and the fault counted. */
export class DialOther {
  readonly #parts: DialParts;
  readonly #inbound: boolean;
  readonly #record: ExchangeRecord;
  readonly #dialler: StreamSocket;
  #timer: Timer | undefined;

  constructor(parts: DialParts, stream: AcceptedStream, record: ExchangeRecord, dialler: StreamSocket) {
    this.#parts = parts;
    this.#inbound = stream.direction === 'inbound';
    this.#record = record;
    this.#dialler = dialler;
  }

  /** Undefined if not even a socket could be had. */
  open(stream: AcceptedStream): StreamSocket | undefined {
    const { connectTimeoutMs } = this.#parts.settings.limits;
    let upstream: StreamSocket;
    try {
      upstream = stream.dial();
    } catch (cause) {
      this.#unreachable(cause instanceof Error ? cause.message : 'no socket could be opened');
      return undefined;
    }
    this.#timer = this.#parts.timers.set(connectTimeoutMs, () => {
      upstream.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
    });
    return upstream;
  }

  connected(): void {
    this.#timer?.clear();
    if (this.#inbound) this.#parts.health.connected();
    this.#record.connected();
  }

  failed(error: Error): void {
    if (!this.#record.isConnected()) this.#unreachable(error.message);
  }

  closed(): void {
    this.#timer?.clear();
  }

  #unreachable(why: string): void {
    this.#parts.context.tally.dropped(this.#inbound ? 'app_unreachable' : 'peer_unreachable');
    if (this.#inbound) this.#parts.health.failed(why);
    reset(this.#dialler);
  }
}
