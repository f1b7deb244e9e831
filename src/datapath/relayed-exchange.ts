/** An exchange while it flows: its bytes are counted, an observed header is read, and who reads along is fed. */
import type { RejectReason } from '../policy/reason.ts';
import type { ExchangeInside } from './exchange-inside.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { FlowOf } from './flow.ts';
import type { ObservedHeader } from './observed.ts';
import type { Relayed } from './relay.ts';
import type { StreamSocket } from './socket.ts';
import type { Timers } from './timers.ts';

const NO_BYTES = new Uint8Array(0);

/** What a judged stream is relayed with. */
export interface Passing {
  readonly first: readonly Uint8Array[];
  readonly request: FlowOf;
  /** What was read after the label, for whoever reads along. */
  readonly seen: readonly Uint8Array[];
  /** A dskit packet after its label, which was held whole. */
  readonly packet: Uint8Array | undefined;
  /** Nothing follows, that is certain. */
  readonly ended: boolean;
}

export interface RelayedParts {
  readonly record: ExchangeRecord;
  readonly inside: ExchangeInside;
  /** In `observe` alone. */
  readonly observed: ObservedHeader | undefined;
}

export class RelayedExchange implements Relayed {
  readonly downstream: StreamSocket;
  readonly upstream: StreamSocket;
  readonly requestEnded: boolean;
  readonly request: FlowOf;
  readonly answer: FlowOf;
  readonly timers: Timers;
  readonly idleTimeoutMs: number;
  readonly #record: ExchangeRecord;
  readonly #inside: ExchangeInside;
  readonly #observed: ObservedHeader | undefined;

  constructor(
    { record, inside, observed }: RelayedParts,
    how: Pick<Relayed, 'downstream' | 'upstream' | 'requestEnded' | 'request' | 'answer' | 'timers'>,
    idleTimeoutMs: number,
  ) {
    this.#record = record;
    this.#inside = inside;
    this.#observed = observed;
    this.downstream = how.downstream;
    this.upstream = how.upstream;
    this.requestEnded = how.requestEnded;
    this.request = how.request;
    this.answer = how.answer;
    this.timers = how.timers;
    this.idleTimeoutMs = idleTimeoutMs;
  }

  onFirstWritten(): void {
    this.#inside.firstWritten();
  }

  onRequest(chunk: Uint8Array): void {
    this.#observed?.read(chunk, false);
    // Unless the reader just rejected it.
    if (!this.downstream.destroyed) this.#record.count(chunk.length);
  }

  onAnswer(chunk: Uint8Array): void {
    this.#record.count(chunk.length);
  }

  afterRequest(chunk: Uint8Array): void {
    if (this.#observed?.watch() !== true) this.#inside.sawRequest(chunk);
  }

  afterAnswer(chunk: Uint8Array): void {
    this.#inside.sawAnswer(chunk);
  }

  keepsRequest(): boolean {
    return this.#inside.keepsRequest();
  }

  keepsAnswer(): boolean {
    return this.#inside.keepsAnswer();
  }

  looksAtRequest(): boolean {
    return this.#inside.looksAtRequest();
  }

  looksAtAnswer(): boolean {
    return this.#inside.looksAtAnswer();
  }

  onPassed(bytes: number): void {
    this.#record.count(bytes);
  }

  onRequestEnd(): void {
    this.#observed?.read(NO_BYTES, true);
    this.#observed?.watch();
    this.#inside.requestEnded();
  }

  onAnswerEnd(): void {
    this.#inside.answerEnded();
  }

  onCut(reason: RejectReason): void {
    // An observed header that never ended is judged by what came of it.
    this.#observed?.read(NO_BYTES, true);
    this.#record.cut(reason);
  }
}
