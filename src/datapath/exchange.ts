/**
 * One accepted TCP exchange, from its first byte to its last.
 *
 * From `accept` on: read the header, judge once, and only then dial: nothing of a rejected stream reaches the other side, not even a
 * connection. In `observe`: dial at once and pass every byte untouched, with a passive tap that reads the header to count it.
 */
import type { Socket } from 'node:net';
import type { Decision } from '../policy/decide.ts';
import { type FrameState, type LabelState, labelStateOf } from '../policy/facts.ts';
import type { RejectReason } from '../policy/reason.ts';
import type { Where } from '../policy/tally.ts';
import { decodeStreamHeader, type StreamHeader } from '../wire/stream-header.ts';
import { detectTransport } from '../wire/transport.ts';
import type { AppHealth } from './app-health.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';
import { readHeader } from './header-reader.ts';
import { judge, stateOfLabel } from './judge.ts';
import { rejectStream } from './reject.ts';
import { reset, startRelay, type Transform } from './relay.ts';
import { rewriteStream } from './rewrite.ts';

const NO_BYTES = Buffer.alloc(0);

/** What an exchange is made from; shared by all of one fence. */
export interface ExchangeParts {
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  readonly health: AppHealth;
  /** From encodeLabelHeader, of our own label. */
  readonly labelHeader: Uint8Array;
}

/** What a stream was judged to be. */
interface Judged extends Where {
  readonly labelState: LabelState;
  readonly label: Uint8Array;
  readonly atMs: number;
}

export class Exchange {
  readonly #parts: ExchangeParts;
  readonly #socket: Socket;
  readonly #stream: AcceptedStream;
  #upstream: Socket | undefined;
  #connected = false;
  /** Reads along with an observed stream. */
  #tap: ((chunk: Uint8Array, ended: boolean) => void) | undefined;
  #judged: Judged | undefined;
  #forwarded = false;
  #bytes = 0;
  #uncounted = 0;

  constructor(parts: ExchangeParts, socket: Socket, stream: AcceptedStream) {
    this.#parts = parts;
    this.#socket = socket;
    this.#stream = stream;
  }

  /** Starts reading; `onDone` is called once, when every socket of the exchange has closed. */
  start(onDone: () => void): void {
    this.#socket.on('close', () => {
      if (this.#upstream === undefined || this.#upstream.closed) onDone();
      else this.#upstream.on('close', onDone);
    });
    if (this.#parts.context.snapshot().settings.stage === 'observe') this.#observe();
    else this.#guard();
  }

  /** Resets both sides now. */
  cut(): void {
    if (this.#upstream !== undefined) reset(this.#upstream);
    reset(this.#socket);
  }

  #guard(): void {
    const { settings } = this.#parts;
    readHeader(this.#socket, {
      transport: settings.transport,
      timeoutMs: settings.limits.headerTimeoutMs,
      onHeader: (header, head) => this.#onHeader(header, head),
      // A connection that never sent a byte was a probe, no frame.
      onGone: (header, head) => {
        if (header !== undefined) this.#judge(header, head.length);
      },
      onTimeout: (head) => this.#onHeaderTimeout(head),
    });
  }

  #onHeader(header: StreamHeader, head: Buffer): void {
    const { settings, labelHeader } = this.#parts;
    const { reason, rewrite } = this.#judge(header, head.length);
    if (reason !== undefined) {
      rejectStream(this.#socket, { header, direction: this.#stream.direction, reason }, settings);
      return;
    }
    this.#count(head.length);
    const { first, transform, cut } = rewriteStream(header, head, rewrite, labelHeader);
    if (cut === undefined) this.#relay(first, transform);
    else {
      reset(this.#socket);
      this.#onCut(cut);
    }
  }

  #onHeaderTimeout(head: Buffer): void {
    const first = head[0];
    if (first === undefined) {
      this.#socket.destroy();
      return;
    }
    const transport = detectTransport(first, this.#parts.settings.transport);
    const where: Where = { direction: this.#stream.direction, transport, kind: 'stream' };
    this.#bytes = head.length;
    this.#parts.context.tally.limited(where, 'malformed', 'header_timeout');
    this.#report({ ...where, labelState: 'malformed', label: NO_BYTES }, 'header_timeout');
    reset(this.#socket);
  }

  #observe(): void {
    let head: Buffer = NO_BYTES;
    const tap = (chunk: Uint8Array, ended: boolean): void => {
      if (this.#judged !== undefined) return;
      head = Buffer.concat([head, chunk]);
      const state = decodeStreamHeader(head, ended, this.#parts.settings.transport);
      if (!state.done) return;
      // Rejected only if the stage has changed since the stream was accepted.
      if (this.#judge(state.header, head.length).verdict === 'reject') this.cut();
      else this.#count(0);
      head = NO_BYTES;
    };
    this.#tap = tap;
    this.#socket.on('close', () => tap(NO_BYTES, true));
    this.#relay([], undefined);
  }

  #relay(first: readonly Uint8Array[], transform: Transform | undefined): void {
    const upstream = this.#dial();
    if (upstream === undefined) return;
    startRelay({
      downstream: this.#socket,
      upstream,
      first,
      transform,
      idleTimeoutMs: this.#parts.settings.limits.idleTimeoutMs,
      onRequest: (chunk) => {
        this.#tap?.(chunk, false);
        // Unless the tap just rejected it.
        if (!this.#socket.destroyed) this.#count(chunk.length);
      },
      onAnswer: (chunk) => this.#count(chunk.length),
      onRequestEnd: () => this.#tap?.(NO_BYTES, true),
      onCut: (reason) => this.#onCut(reason),
    });
  }

  /** Opens the other side, bounded in time; resets the dialler where that fails. */
  #dial(): Socket | undefined {
    const { limits } = this.#parts.settings;
    let upstream: Socket;
    try {
      upstream = this.#stream.dial();
    } catch (cause) {
      this.#onUnreachable(cause instanceof Error ? cause.message : 'no socket could be opened');
      return undefined;
    }
    this.#upstream = upstream;
    const timer = setTimeout(() => {
      upstream.destroy(new Error(`no connection within ${limits.connectTimeoutMs} ms`));
    }, limits.connectTimeoutMs);
    upstream.on('connect', () => {
      clearTimeout(timer);
      this.#connected = true;
      if (this.#stream.direction === 'inbound') this.#parts.health.connected();
      this.#noteForwarded();
    });
    upstream.on('error', (error) => {
      if (!this.#connected) this.#onUnreachable(error.message);
    });
    upstream.on('close', () => clearTimeout(timer));
    return upstream;
  }

  #onUnreachable(why: string): void {
    const inbound = this.#stream.direction === 'inbound';
    this.#parts.context.tally.dropped(inbound ? 'app_unreachable' : 'peer_unreachable');
    if (inbound) this.#parts.health.failed(why);
    reset(this.#socket);
  }

  #judge(header: StreamHeader, bytes: number): Decision {
    const { context } = this.#parts;
    const { direction, peer } = this.#stream;
    const { transport, kind, label } = header;
    const state: FrameState = header.malformed ?? (transport === 'tls' ? 'opaque' : stateOfLabel(label, context.label));
    this.#judged = { direction, transport, kind, labelState: labelStateOf(state), label, atMs: context.now() };
    const decision = judge(context, { direction, transport, kind, state, peer, label, bytes, handshake: true });
    if (decision.verdict === 'pass') this.#noteForwarded();
    return decision;
  }

  /** Measures once, when the header is known and the other side is there to take it. */
  #noteForwarded(): void {
    if (this.#judged === undefined || !this.#connected || this.#forwarded) return;
    this.#forwarded = true;
    const { context } = this.#parts;
    const { direction, kind, atMs } = this.#judged;
    context.tally.forwarded(direction, kind, (context.now() - atMs) / 1000);
  }

  /** Bytes of both ways count under the exchange; those before it is known what they are of wait. */
  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#uncounted += bytes;
    if (this.#judged === undefined) return;
    this.#parts.context.tally.bytes(this.#judged, this.#uncounted);
    this.#uncounted = 0;
  }

  #onCut(reason: RejectReason): void {
    // An observed header that never ended is judged by what came of it.
    this.#tap?.(NO_BYTES, true);
    // Without a judgement not a byte was ever sent: an idle probe, no frame.
    if (this.#judged === undefined) return;
    this.#parts.context.tally.cut(this.#judged, reason);
    this.#report(this.#judged, reason);
  }

  #report(what: Where & { labelState: LabelState; label: Uint8Array }, reason: RejectReason): void {
    const { context } = this.#parts;
    const { direction, transport, kind, labelState, label } = what;
    const { peer } = this.#stream;
    const atMs = context.now();
    context.onRejection({ atMs, direction, transport, kind, peer, labelState, reason, label, bytes: this.#bytes });
  }
}
