/**
 * One accepted TCP exchange, from its first byte to its last.
 *
 * From `accept` on: read the header, hold the stream as long as a rule needs to see more of it, judge once, and only then dial: nothing of a
 * rejected stream reaches the other side, not even a connection. In `observe`: dial at once and pass every byte untouched; the header
 * is read along the way to count it.
 */
import type { Rewrite } from '../policy/decide.ts';
import type { RejectReason, ShieldReason } from '../policy/reason.ts';
import type { StreamHeader } from '../wire/stream-header.ts';
import { detectTransport } from '../wire/transport.ts';
import { DialOther } from './dial-other.ts';
import { reset } from './endings.ts';
import type { AcceptedStream } from './engine.ts';
import { ExchangeInside } from './exchange-inside.ts';
import { ExchangeRecord } from './exchange-record.ts';
import type { ExchangeParts } from './exchange-rules.ts';
import { type FlowOf, passing, transforming } from './flow.ts';
import { HeaderReader, type HeaderTaker } from './header-reader.ts';
import { type Held, HeldRequest, type HeldRequestTaker, type HoldRefusal } from './hold.ts';
import { turnsOnPeer } from './judge.ts';
import { type Look, sizeOf } from './look.ts';
import { isNeutral } from './neutral.ts';
import { ObservedHeader } from './observed.ts';
import { rejectStream } from './reject.ts';
import { startRelay } from './relay.ts';
import { type Passing, RelayedExchange } from './relayed-exchange.ts';
import { inFewWrites, packetTransform, rewriteHead, sendsLabel } from './rewrite.ts';
import { PhasedOwner, type StreamSocket } from './socket.ts';

const NO_BYTES = Buffer.alloc(0);

export class Exchange extends PhasedOwner implements HeaderTaker, HeldRequestTaker {
  readonly #parts: ExchangeParts;
  readonly #socket: StreamSocket;
  readonly #stream: AcceptedStream;
  readonly #record: ExchangeRecord;
  readonly #inside: ExchangeInside;
  #dial: DialOther | undefined;
  #upstream: StreamSocket | undefined;
  #waited = false;
  #observed: ObservedHeader | undefined;
  /** What was read of a request that is held. */
  #holding: { readonly header: StreamHeader; readonly head: Buffer; readonly look: Look } | undefined;
  #onDone: (() => void) | undefined;

  constructor(parts: ExchangeParts, socket: StreamSocket, stream: AcceptedStream) {
    super();
    this.#parts = parts;
    this.#socket = socket;
    this.#stream = stream;
    // An inbound stream's port says nothing of its peer.
    const peer = parts.peers(stream.peer.address, stream.direction === 'inbound' ? 0 : stream.peer.port);
    this.#record = new ExchangeRecord(parts.context, stream, peer);
    this.#inside = new ExchangeInside(parts, stream, peer, this.#record);
  }

  /** Starts reading; `onDone` is called once, when every socket of the exchange has closed. */
  start(onDone: () => void): void {
    this.#onDone = onDone;
    this.#socket.owner = this;
    // Until the stage is known, nothing is read.
    if (!this.#parts.context.starting() || !this.#wait(() => this.#begin())) this.#begin();
  }

  /** Resets both sides now. */
  cut(): void {
    if (this.#upstream !== undefined) reset(this.#upstream);
    reset(this.#socket);
  }

  override onConnect(socket: StreamSocket): void {
    if (socket !== this.#socket) this.#dial?.connected();
  }

  override onError(socket: StreamSocket, error: Error): void {
    if (socket !== this.#socket) this.#dial?.failed(error);
    super.onError(socket, error);
  }

  override onClose(socket: StreamSocket, hadError: boolean): void {
    if (socket === this.#socket) this.#observed?.read(NO_BYTES, true);
    else this.#dial?.closed();
    super.onClose(socket, hadError);
    if (this.#upstream?.closed === false || !this.#socket.closed) return;
    this.#inside.close();
    this.#onDone?.();
    this.#onDone = undefined;
  }

  #begin(): void {
    // Cut while it waited.
    if (this.#socket.destroyed) return;
    if (this.#inside.observes()) {
      this.#observe();
      return;
    }
    const { settings, timers } = this.#parts;
    const reader = new HeaderReader(settings.transport, this);
    this.phase = reader;
    reader.start(this.#socket, timers, settings.limits.headerTimeoutMs);
  }

  /** Whether it waits, the socket paused, until it is known who its peer is, or at which stage we are: `again` is called then. Once at most. */
  #wait(again: () => void): boolean {
    if (this.#waited) return false;
    this.#waited = this.#parts.context.doubts.wait({ address: this.#stream.peer.address, reached: true }, 0, again);
    return this.#waited;
  }

  headerRead(header: StreamHeader, head: Buffer): void {
    const { reason } = this.#record.preview(header);
    if (turnsOnPeer(reason) && this.#wait(() => this.headerRead(header, head))) return;
    if (this.#socket.destroyed) {
      // Gone while it waited.
      this.#record.judge(header, head.length, isNeutral(header, head));
      return;
    }
    const look = reason === undefined ? this.#inside.lookAtRequest(header, head) : undefined;
    if (look === undefined) this.#decide(header, head, undefined, undefined);
    else {
      this.#holding = { header, head, look };
      const hold = new HeldRequest(this.#socket, this.#inside.holdSettings(look), this);
      this.phase = hold;
      hold.start(head.subarray(header.bodyAt));
    }
  }

  /** A connection that never sent a byte was a probe, no frame. */
  headerGone(header: StreamHeader | undefined, head: Buffer): void {
    if (header !== undefined) this.#record.judge(header, head.length, isNeutral(header, head));
  }

  requestHeld(held: Held, ended: boolean): void {
    this.#inside.keep(held);
    const holding = this.#holding;
    this.#holding = undefined;
    if (holding !== undefined) this.#decide(holding.header, holding.head, holding.look, holding.look.harm(), ended);
  }

  requestGone(): void {
    if (this.#holding === undefined) return;
    const { header, look } = this.#holding;
    this.#record.judge(header, header.bodyAt + sizeOf(look.taken()), look.neutral());
  }

  /** The verdict, carried out. */
  #decide(
    known: StreamHeader,
    head: Buffer,
    look: Look | undefined,
    harm: ShieldReason | undefined,
    ended = false,
  ): void {
    const malformed = look?.malformed();
    const header = malformed === undefined ? known : { ...known, malformed };
    const seen = look?.taken() ?? [head.subarray(header.bodyAt)];
    const bytes = header.bodyAt + sizeOf(seen);
    const neutral = look?.neutral() ?? isNeutral(header, head);
    const { reason, rewrite } = this.#record.judge(header, bytes, neutral, harm);
    if (reason !== undefined) {
      this.#reject(header, seen, reason, look);
      return;
    }
    this.#record.count(bytes);
    if (look === undefined && header.kind === 'packet') this.#passPacket(header, head, rewrite, seen);
    else {
      const packet = look?.packet();
      const rest = look === undefined ? seen : this.#inside.releaseRequest(look, sendsLabel(header, rewrite));
      const front = rewriteHead(header, head, rewrite, this.#parts.labelHeader);
      if (rest !== undefined)
        this.#pass(header, { first: inFewWrites(header, [...front, ...rest]), request: passing, seen, packet, ended });
      // Quarantine left nothing of it: counted there, and never dialled.
      else reset(this.#socket);
    }
  }

  /** A dskit packet that nothing has to hold, rewritten while it flows. */
  #passPacket(header: StreamHeader, head: Buffer, rewrite: Rewrite, seen: readonly Uint8Array[]): void {
    const transform = packetTransform(header, rewrite, this.#parts.labelHeader);
    const first = transform.push(head);
    if (first.ok) {
      const request = transforming(transform);
      this.#pass(header, { first: inFewWrites(header, first.value), request, seen, packet: undefined, ended: false });
    } else {
      reset(this.#socket);
      this.#record.cut(first.reason);
    }
  }

  #reject(header: StreamHeader, seen: readonly Uint8Array[], reason: RejectReason, look: Look | undefined): void {
    if (reason === 'dskit_oversize') {
      // Reading on would only bring more of what is too much already.
      reset(this.#socket);
      return;
    }
    const watch = this.#inside.watchRejected(header);
    for (const bytes of seen) watch?.push(bytes);
    const seal = this.#inside.sealerOf(header, look);
    const { direction } = this.#stream;
    const { settings, timers } = this.#parts;
    this.phase = rejectStream(this.#socket, { header, direction, reason, seal, watch, timers }, settings);
  }

  requestRefused(reason: HoldRefusal): void {
    if (this.#holding === undefined) return;
    const { header, head, look } = this.#holding;
    const seen = look.taken();
    if (reason !== 'shield_memory') this.#record.limitedAfterHeader(header, header.bodyAt + sizeOf(seen), reason);
    if (reason === 'shield_memory') this.#decide(header, head, look, reason);
    else if (reason === 'hold_timeout') reset(this.#socket);
    else this.#reject(header, seen, reason, look);
  }

  headerLate(head: Buffer): void {
    const first = head[0];
    if (first === undefined) this.#socket.destroy();
    else {
      this.#record.headerLate(head, detectTransport(first, this.#parts.settings.transport));
      reset(this.#socket);
    }
  }

  #observe(): void {
    const { transport } = this.#parts.settings;
    const observed = new ObservedHeader(transport, this.#record, this.#inside, () => this.cut());
    this.#observed = observed;
    this.#relay([], passing, passing, false);
  }

  #pass(header: StreamHeader, { first, request, seen, packet, ended }: Passing): void {
    // Before the relay, which may know of the request's end at once.
    if (packet === undefined) this.#inside.watchPassing(header, seen);
    const answer = this.#inside.answerFlow(header, () => this.cut());
    this.#relay(first, request, answer, ended);
    if (packet !== undefined) this.#inside.passed(header, packet);
  }

  #relay(first: readonly Uint8Array[], request: FlowOf, answer: FlowOf, requestEnded: boolean): void {
    this.#dial = new DialOther(this.#parts, this.#stream, this.#record, this.#socket);
    const upstream = this.#dial.open(this.#stream);
    if (upstream === undefined) return;
    upstream.owner = this;
    this.#upstream = upstream;
    const { timers, settings } = this.#parts;
    const parts = { record: this.#record, inside: this.#inside, observed: this.#observed };
    const how = { downstream: this.#socket, upstream, request, answer, timers, requestEnded };
    this.phase = startRelay(first, new RelayedExchange(parts, how, settings.limits.idleTimeoutMs));
  }
}
