/** What one exchange looks at below the label: which rules need to see what of it, how it is sealed again, and who reads along. */
import { appSealForm, wireSealForm } from '../policy/seal-form.ts';
import type { FrameSource } from '../ring/source.ts';
import { type SealForm, sealStream } from '../wire/encryption.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import type { StreamHeader } from '../wire/stream-header.ts';
import { keyOfRing, noteDialOfApp, noteSealOfMember, noteStreamOfApp } from './app-seals.ts';
import type { AcceptedStream } from './engine.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { type ExchangeParts, ExchangeRules } from './exchange-rules.ts';
import { type FlowOf, passing } from './flow.ts';
import { hasMessage } from './header-reader.ts';
import { holding } from './held-answer.ts';
import type { Held, HoldSettings } from './hold.ts';
import type { Look, OpenedSeal } from './look.ts';
import { PacketLook } from './packet-look.ts';
import type { PacketPeer } from './packet-peer.ts';
import { createStreamLook, needsLook } from './stream-look.ts';
import { type LateLook, type Watch, watchPacket, watchStream } from './watch.ts';

const NO_BYTES = new Uint8Array(0);
/** What members of protocol version 2 and later seal with, and all open (memberlist net.go `encryptionVersion`). */
const SEAL_VERSION = 1;

export class ExchangeInside {
  readonly #parts: ExchangeParts;
  readonly #stream: AcceptedStream;
  readonly #rules: ExchangeRules;
  readonly #record: ExchangeRecord;
  readonly #held: Held[] = [];
  /** How the request was sealed, as its dialler sent it: that is how it reads an answer. */
  #requestSeal: OpenedSeal | undefined;
  #requestWatch: Watch | undefined;
  #answerWatch: (() => Watch | undefined) | undefined;
  #answers: Watch | undefined;
  /** Until then it is not known who will read along. */
  #watched = false;

  constructor(parts: ExchangeParts, stream: AcceptedStream, peer: PacketPeer, record: ExchangeRecord) {
    this.#parts = parts;
    this.#stream = stream;
    this.#rules = new ExchangeRules(parts, stream, peer, record);
    this.#record = record;
  }

  /** Whether nothing is to be changed, held or cut. */
  observes(): boolean {
    return this.#rules.observes();
  }

  /** What has to see the request before it may go on; undefined when nothing has. `head` holds what was read of it. */
  lookAtRequest(header: StreamHeader, head: Uint8Array): Look | undefined {
    if (!hasMessage(header) || this.#rules.observes()) return undefined;
    if (header.kind === 'stream') {
      const rules = this.#rules.of(header, false, true);
      return needsLook(rules, header.messageType) ? createStreamLook(rules) : undefined;
    }
    if (!this.#rules.looksAtPackets()) return undefined;
    const receivedLabel = head.subarray(header.labelAt, header.bodyAt);
    const inside = (body: Uint8Array) => this.#rules.packetInside(header, body);
    return new PacketLook({ receivedLabel, labelHeader: this.#parts.labelHeader, md5: this.#parts.md5, inside });
  }

  /** What the answer goes through, whatever it will be; `cut` resets both sides. */
  answerFlow(header: StreamHeader, cut: () => void): FlowOf {
    const look = this.#lookAtAnswer(header);
    if (look === undefined) return passing;
    return (sink) => {
      const release = (): readonly Uint8Array[] | undefined => {
        const harm = this.#rules.observes() ? undefined : look.harm();
        const out = harm === undefined ? this.#releaseAnswer(look) : undefined;
        if (harm !== undefined) sink.cut(harm);
        else if (out === undefined) cut();
        return out;
      };
      return holding(this.holdSettings(look), (held) => this.keep(held), release)(sink);
    };
  }

  holdSettings(look: Look): HoldSettings {
    const { budgets, settings, timers } = this.#parts;
    return { look, budgets, timers, limits: settings.limits, peer: this.#stream.peer.address };
  }

  /** What is sent in place of a held request; undefined when quarantine leaves nothing of it. */
  releaseRequest(look: Look, labelled: boolean): readonly Uint8Array[] | undefined {
    this.#requestSeal = look.opened();
    const { context } = this.#parts;
    const toApp = this.#stream.direction === 'inbound';
    if (!toApp) noteSealOfMember(this.#requestSeal);
    const form = toApp ? appSealForm(context.snapshot().settings, labelled) : wireSealForm(labelled);
    return this.#release(look, labelled, toApp || context.inside.reseal() ? form : undefined);
  }

  /**
   * Seals an answer of ours so that the dialler can read it: as it sealed its request, where that was opened; otherwise under the key
   * of the ring and in the form that its label header tells, because a stream that is rejected by its label is not read. Undefined without keys.
   */
  sealerOf(header: StreamHeader, look: Look | undefined): ((answer: Uint8Array) => Uint8Array) | undefined {
    const { label, inside, snapshot } = this.#parts.context;
    const opened = look?.opened();
    if (opened !== undefined) {
      const { keyring, version, key, form } = opened;
      return (answer) => sealStream(keyring, answer, form === 'label' ? label : NO_BYTES, version, key);
    }
    const keyring = inside.keyring();
    if (keyring === undefined || header.messageType !== MESSAGE_TYPE.encrypt) return undefined;
    const ours = () => (appSealForm(snapshot().settings, header.label.length > 0) === 'label' ? label : NO_BYTES);
    const aad = this.#stream.direction === 'outbound' ? ours() : header.label;
    return (answer) => sealStream(keyring, answer, aad, SEAL_VERSION, keyOfRing(keyring));
  }

  /** Gives `held` back when the exchange is over. */
  keep(held: Held): void {
    this.#held.push(held);
  }

  firstWritten(): void {
    this.#held[0]?.written();
  }

  /** Who reads along with a stream that goes on; `seen` was read after its label so far. */
  watchPassing(header: StreamHeader, seen: readonly Uint8Array[]): void {
    this.#watched = true;
    if (!hasMessage(header)) return;
    if (this.#stream.direction === 'outbound') noteDialOfApp(this.#parts.context, header.kind, seen[0]);
    this.#requestWatch = this.#watch(header, false, false);
    // Made when the answer comes: many never do.
    this.#answerWatch = () => this.#watch(header, false, true);
    for (const bytes of seen) this.#requestWatch?.push(bytes);
  }

  /** A dskit packet passes that was held whole: `body` is what follows its label. Nobody need read along. */
  passed(header: StreamHeader, body: Uint8Array): void {
    this.#watched = true;
    const { inside } = this.#parts.context;
    if (this.#stream.direction === 'outbound') noteDialOfApp(this.#parts.context, header.kind, body);
    if (inside.room(false, body.length)) inside.packet(this.#record.source(header, false, false), body, 0, body.length);
  }

  /** Who reads along with a rejected one; the caller feeds it. */
  watchRejected(header: StreamHeader): Watch | undefined {
    return hasMessage(header) ? this.#watch(header, true, false) : undefined;
  }

  sawRequest(chunk: Uint8Array): void {
    this.#requestWatch?.push(chunk);
  }

  sawAnswer(chunk: Uint8Array): void {
    if (this.#answerWatch !== undefined) {
      if (this.#stream.direction === 'inbound') noteStreamOfApp(this.#parts.context, chunk);
      this.#answers = this.#answerWatch();
      this.#answerWatch = undefined;
    }
    this.#answers?.push(chunk);
  }

  /** Whether who reads along may keep the next bytes. */
  keepsRequest(): boolean {
    return !this.#watched || this.#requestWatch?.keeps() === true;
  }

  keepsAnswer(): boolean {
    return !this.#watched || this.#answerWatch !== undefined || this.#answers?.keeps() === true;
  }

  /** Whether who reads along, or may yet, may look at the next bytes. */
  looksAtRequest(): boolean {
    return !this.#watched || this.#requestWatch?.looks() === true;
  }
  looksAtAnswer(): boolean {
    return !this.#watched || this.#answerWatch !== undefined || this.#answers?.looks() === true;
  }

  requestEnded(): void {
    this.#requestWatch?.end(true);
  }
  answerEnded(): void {
    this.#answers?.end(true);
  }

  /** The exchange is over. */
  close(): void {
    for (const held of this.#held) held.close();
    this.#requestWatch?.end(false);
    this.#answers?.end(false);
  }

  #lookAtAnswer(header: StreamHeader): Look | undefined {
    if (!hasMessage(header) || header.kind === 'packet' || this.#rules.observes()) return undefined;
    const rules = this.#rules.of(header, true, true);
    const { shield, quarantine, keyring } = rules;
    if (shield === undefined && quarantine === undefined && keyring === undefined) return undefined;
    return createStreamLook(rules);
  }

  /** The same of a held answer. It has no label header, whatever its seal. */
  #releaseAnswer(look: Look): readonly Uint8Array[] | undefined {
    const { context } = this.#parts;
    if (this.#stream.direction === 'inbound') noteSealOfMember(look.opened());
    const form =
      this.#stream.direction === 'outbound'
        ? appSealForm(context.snapshot().settings, false)
        : context.inside.reseal()
          ? this.#requestSeal?.form
          : undefined;
    return this.#release(look, false, form);
  }

  #release(look: Look, labelled: boolean, form: SealForm | undefined): readonly Uint8Array[] | undefined {
    // Only if the stage has changed while it was held.
    if (this.#rules.observes()) return look.taken();
    const { tally } = this.#parts.context;
    const { direction } = this.#stream;
    const outcome = look.sealed();
    if (outcome !== undefined) tally.sealed(direction, 'stream', outcome);
    const { bytes, resealed, stripped, dropped } = look.release({ labelled, form });
    if (resealed) tally.resealed(direction, 'stream');
    if (stripped + dropped > 0) tally.quarantined(stripped, dropped);
    return bytes;
  }

  #watch(header: StreamHeader, rejected: boolean, answer: boolean): Watch | undefined {
    const source = this.#record.source(header, rejected, answer);
    const counts = !rejected && this.#rules.observes();
    if (header.kind === 'packet') {
      const onPacket = (body: Uint8Array): void => this.#onPacket(header, source, body, counts);
      return answer ? undefined : watchPacket(this.#parts.budgets, source, onPacket);
    }
    const tap = this.#parts.context.inside.stream(source);
    const late = counts ? this.#lateLook(header, answer) : undefined;
    return tap === undefined && late === undefined ? undefined : watchStream(source, tap, late);
  }

  #onPacket(header: StreamHeader, source: FrameSource, body: Uint8Array, counts: boolean): void {
    const { context } = this.#parts;
    context.inside.packet(source, body, 0, body.length);
    if (!counts || !context.snapshot().settings.shield) return;
    const harm = this.#rules.packetInside(header, body).look();
    if (harm !== undefined) this.#record.judgeLate(harm);
  }

  /** The shield beside an observed stream. */
  #lateLook(header: StreamHeader, answer: boolean): LateLook | undefined {
    const rules = this.#rules.of(header, answer, false);
    if (rules.shield === undefined) return undefined;
    return { ...this.holdSettings(createStreamLook(rules)), onHarm: this.#record.judgeLate.bind(this.#record) };
  }
}
