/** What is known of one exchange, and how it is judged, counted and reported. */
import type { Decision } from '../policy/decide.ts';
import { type FrameState, type LabelState, labelStateOf } from '../policy/facts.ts';
import type { LimitedReason, RejectReason, ShieldReason } from '../policy/reason.ts';
import type { Where } from '../policy/tally.ts';
import type { FrameSource } from '../ring/source.ts';
import type { StreamHeader } from '../wire/stream-header.ts';
import type { Transport } from '../wire/transport.ts';
import type { AcceptedStream, FenceContext } from './engine.ts';
import { judge, judgeLate, preview, type SeenFrame, stateOfLabel } from './judge.ts';
import type { PacketPeer } from './packet-peer.ts';

const NO_LABEL = new Uint8Array(0);

/** The header's place among the counters. */
interface Judged extends Where {
  readonly labelState: LabelState;
  readonly label: Uint8Array;
}

export class ExchangeRecord {
  readonly #context: FenceContext;
  readonly #stream: AcceptedStream;
  readonly #peer: PacketPeer;
  /** When the header was complete, before anything of the stream was held. */
  #headerAtMs: number | undefined;
  #judged: Judged | undefined;
  #verdict: { readonly frame: SeenFrame; readonly decision: Decision } | undefined;
  #connected = false;
  #forwarded = false;
  #bytes = 0;
  #uncounted = 0;

  /** `peer`: what is kept of the stream's peer. */
  constructor(context: FenceContext, stream: AcceptedStream, peer: PacketPeer) {
    this.#context = context;
    this.#stream = stream;
    this.#peer = peer;
  }

  /** Whether the header was judged, or a bound has spoken. */
  judged(): boolean {
    return this.#judged !== undefined;
  }

  /** What judging would give by the label, without counting it. */
  preview(header: StreamHeader): Decision {
    this.#headerAtMs ??= this.#context.now();
    const { direction } = this.#stream;
    return preview(this.#context, { direction, state: this.#stateOf(header) }, this.#peer);
  }

  /** Judges, counts and reports the stream; once. `neutral`: SeenFrame.neutral. */
  judge(header: StreamHeader, bytes: number, neutral: boolean, harm?: ShieldReason): Decision {
    this.#headerAtMs ??= this.#context.now();
    const frame = this.#frame(header, bytes, neutral, harm);
    this.#judged = judgedOf(frame, header.label);
    const decision = judge(this.#context, frame, this.#peer);
    this.#verdict = { frame, decision };
    if (decision.verdict === 'pass') this.#noteForwarded();
    return decision;
  }

  /** Harm that was found in a stream that had been passed on untouched. */
  judgeLate(harm: ShieldReason): void {
    if (this.#verdict !== undefined) judgeLate(this.#context, this.#verdict.frame, this.#verdict.decision, harm);
  }

  /** Counts and reports a stream that a bound ended before it was judged. */
  limited(where: Where, labelState: LabelState, label: Uint8Array, bytes: number, reason: LimitedReason): void {
    this.#bytes = bytes;
    const { direction, transport, kind } = where;
    this.#judged = { direction, transport, kind, labelState, label };
    this.#context.tally.limited(where, labelState, reason);
    this.#report(this.#judged, reason);
  }

  /** The same, of a stream whose header did not come in time; `head` came. */
  headerLate(head: Uint8Array, transport: Transport): void {
    const where = { direction: this.#stream.direction, transport, kind: 'stream' } as const;
    this.limited(where, 'malformed', NO_LABEL, head.length, 'header_timeout');
  }

  /** The same, of a stream whose header is known. */
  limitedAfterHeader(header: StreamHeader, bytes: number, reason: LimitedReason): void {
    const frame = this.#frame(header, bytes, false, undefined);
    this.limited(frame, labelStateOf(frame.state), header.label, bytes, reason);
  }

  /** The other side is there. */
  connected(): void {
    this.#connected = true;
    this.#noteForwarded();
  }

  isConnected(): boolean {
    return this.#connected;
  }

  /** Bytes of both ways count under the exchange; those before it is known what they are of wait. */
  count(bytes: number): void {
    this.#bytes += bytes;
    this.#uncounted += bytes;
    if (this.#judged === undefined) return;
    this.#context.tally.bytes(this.#judged, this.#uncounted);
    this.#uncounted = 0;
  }

  /** A bound was hit, or harm was found, while it flowed. Not a word without a judgement: not a byte was ever sent then, a probe. */
  cut(reason: RejectReason): void {
    if (this.#judged === undefined) return;
    this.#context.tally.cut(this.#judged, reason);
    this.#report(this.#judged, reason);
  }

  /** What inspection is told of the frame around the bytes. */
  source(header: StreamHeader, rejected: boolean, answer: boolean): FrameSource {
    const { direction, peer } = this.#stream;
    const { transport, kind, label } = header;
    const labelState = labelStateOf(this.#stateOf(header));
    return { atMs: this.#context.now(), direction, transport, kind, peer, labelState, label, rejected, answer };
  }

  #stateOf({ transport, label, malformed }: StreamHeader): FrameState {
    return malformed ?? (transport === 'tls' ? 'opaque' : stateOfLabel(label, this.#context.label));
  }

  #frame(header: StreamHeader, bytes: number, neutral: boolean, harm: ShieldReason | undefined): SeenFrame {
    const { direction, peer } = this.#stream;
    const { transport, kind, label } = header;
    return {
      direction,
      transport,
      kind,
      state: this.#stateOf(header),
      peer,
      label,
      bytes,
      handshake: true,
      look: () => harm,
      neutral: () => neutral,
    };
  }

  /** Measures once, when the stream is judged and the other side is there to take it. */
  #noteForwarded(): void {
    if (this.#verdict === undefined || !this.#connected || this.#forwarded || this.#headerAtMs === undefined) return;
    this.#forwarded = true;
    const { direction, kind } = this.#verdict.frame;
    this.#context.tally.forwarded(direction, kind, (this.#context.now() - this.#headerAtMs) / 1000);
  }

  #report(what: Judged, reason: RejectReason): void {
    const { direction, transport, kind, labelState, label } = what;
    const { peer } = this.#stream;
    const atMs = this.#context.now();
    this.#context.onRejection({
      atMs,
      direction,
      transport,
      kind,
      peer,
      labelState,
      reason,
      label,
      bytes: this.#bytes,
    });
  }
}

function judgedOf({ direction, transport, kind, state }: SeenFrame, label: Uint8Array): Judged {
  return { direction, transport, kind, labelState: labelStateOf(state), label };
}
