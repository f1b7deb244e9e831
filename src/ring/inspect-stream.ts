/**
 * Reads one direction of a native stream for the ring as it arrives: rows one at a time, dskit's pairs as the user state passes, an
 * encrypted message once it is whole. Pure and total; holds no more than a sealed message or a user message of bounded size.
 */
import { type CodecFailure, failed } from '../wire/codec-reason.ts';
import {
  type Keyring,
  openStream,
  SEALED_STREAM_HEADER_BYTES,
  type SealForm,
  streamFrameBytes,
} from '../wire/encryption.ts';
import { createKvReader, decodeKvPair, type KvReader } from '../wire/kv.ts';
import { SEALED_STREAM_MAX_BYTES } from '../wire/limits.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { Pending } from '../wire/pending.ts';
import { isProbe } from '../wire/probe.ts';
import { createStreamReader, type StreamReader } from '../wire/stream-reader.ts';
import { describeKey, describeMessage, describeRow, Excerpt } from './excerpt.ts';
import type { Inspected } from './inspect-packet.ts';
import type { PushPullHeader, Ring } from './ring.ts';
import type { FrameSource } from './source.ts';
import { collectsUser, isRead } from './stream-interest.ts';

/** Bytes of one stream that are read, and that an encrypted one may hold. */
export interface StreamBudget {
  readonly maxBytes: number;
  readonly sealedBytes: number;
}

/** A push/pull of thousands of rows with the largest user state; the largest sealed message. */
export const STREAM_BUDGET: StreamBudget = {
  maxBytes: 2 * SEALED_STREAM_MAX_BYTES,
  sealedBytes: SEALED_STREAM_MAX_BYTES,
};

/** Failures that are listed; one stream has one message, so one is usual. */
const FAILURES_MAX = 8;

export interface StreamInspection {
  /** The next bytes after the label, read before it returns and not kept. False once nothing that follows is of interest. */
  push(chunk: Uint8Array): boolean;
  /** What was read; `complete` is false when the stream was cut. To be called once. */
  end(complete: boolean): Inspected;
}

/** Starts reading a stream's request, or its answer (source.answer). `keyring` is the one that was in use when it began. */
export function createStreamInspection(
  ring: Ring,
  source: FrameSource,
  keyring: Keyring | undefined,
  budget: StreamBudget = STREAM_BUDGET,
): StreamInspection {
  return new Inspection(ring, source, keyring, budget);
}

class Inspection implements StreamInspection {
  readonly #ring: Ring;
  readonly #source: FrameSource;
  readonly #keyring: Keyring | undefined;
  readonly #budget: StreamBudget;
  readonly #excerpt = new Excerpt();
  readonly #failures: CodecFailure[] = [];
  readonly #isDskit: boolean;
  readonly #reader: StreamReader;
  /** What arrived of a sealed message; undefined for any other. */
  #sealed: Pending | undefined;
  #bytes = 0;
  #started = false;
  #over = false;
  #messages = 0;
  #kv: KvReader | undefined;
  /** A user message, while it is collected. */
  #user: Pending | undefined;

  constructor(ring: Ring, source: FrameSource, keyring: Keyring | undefined, budget: StreamBudget) {
    this.#ring = ring;
    this.#source = source;
    this.#keyring = keyring;
    this.#budget = budget;
    this.#isDskit = source.transport === 'dskit';
    this.#reader = this.#createReader();
  }

  push(chunk: Uint8Array): boolean {
    if (this.#over || chunk.length === 0) return !this.#over;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#budget.maxBytes) return this.#fail(failed('expanded_limit', this.#budget.maxBytes));
    if (!this.#started) {
      this.#started = true;
      if (chunk[0] === MESSAGE_TYPE.encrypt) this.#sealed = new Pending();
      else this.#noteFrame(chunk, undefined);
    }
    if (this.#sealed === undefined) this.#read(chunk);
    else this.#collect(this.#sealed, chunk);
    return !this.#over;
  }

  end(complete: boolean): Inspected {
    if (!this.#over && this.#sealed === undefined && this.#started) this.#endReader(complete);
    if (!this.#over && this.#sealed !== undefined && complete) {
      const needs = streamFrameBytes(this.#sealed.view()) ?? SEALED_STREAM_HEADER_BYTES;
      this.#fail(failed('truncated', needs));
    }
    // Also a stream that showed nothing readable says so.
    if (this.#messages === 0 && this.#started) {
      const what = this.#sealed === undefined ? '' : 'encrypted, ';
      this.#excerpt.add(() => `${what}${this.#bytes} bytes`);
    }
    return { messages: this.#messages, failures: this.#failures, excerpt: () => this.#excerpt.toString() };
  }

  #read(bytes: Uint8Array): void {
    const { state, failure } = this.#reader.push(bytes);
    if (failure !== undefined) this.#fail(failure);
    const wantsUser = this.#kv !== undefined || this.#user !== undefined;
    if (isRead(state, wantsUser)) this.#finish(true);
  }

  #collect(sealed: Pending, chunk: Uint8Array): void {
    sealed.append(chunk);
    const size = streamFrameBytes(sealed.view());
    if (size === undefined) return;
    if (size > this.#budget.sealedBytes + SEALED_STREAM_HEADER_BYTES) this.#open(failed('sealed_limit', 1));
    else if (this.#keyring === undefined) this.#open(failed('no_key', 0));
    else if (sealed.length >= size) this.#open(openStream(this.#keyring, sealed.view(), this.#source.label));
  }

  #open(opened: ReturnType<typeof openStream>): void {
    if (opened.ok) this.#noteFrame(opened.value.plain, opened.value.form);
    else {
      this.#ring.frame(this.#source, undefined);
      this.#sealed?.take(this.#sealed.length);
      this.#fail(opened);
      return;
    }
    this.#sealed = undefined;
    this.#read(opened.value.plain);
    if (!this.#over) this.#endReader(true);
  }

  /** Unless it is a fence's own ping, which says nothing of the app behind it. */
  #noteFrame(start: Uint8Array, form: SealForm | undefined): void {
    if (!isProbe(start)) this.#ring.frame(this.#source, form);
  }

  /** No more bytes will come. */
  #endReader(complete: boolean): void {
    const { failure } = this.#reader.end();
    if (failure !== undefined && complete) this.#fail(failure);
    this.#finish(complete);
  }

  /** Nothing that follows is of interest. */
  #finish(complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    const run = this.#kv?.end();
    if (run?.failure !== undefined && complete) this.#fail(run.failure);
    if (this.#user === undefined || !complete) return;
    const pair = decodeKvPair(this.#user.view());
    this.#user = undefined;
    if (!pair.ok) return;
    this.#ring.kv(this.#source, pair.value);
    this.#excerpt.add(() => describeKey(pair.value.key));
  }

  #fail(failure: CodecFailure): false {
    this.#over = true;
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(failure);
    return false;
  }

  #createReader(): StreamReader {
    const [ring, source] = [this.#ring, this.#source];
    let table: { readonly header: PushPullHeader; left: number } | undefined;
    return createStreamReader({
      pushPull: (header) => {
        ring.pushPull(source, header);
        table = { header, left: header.nodes };
        this.#excerpt.add(() => `push/pull${header.join ? ' join' : ''} ${header.nodes} members`);
        if (this.#isDskit) this.#kv = createKvReader((pair) => ring.kv(source, pair));
      },
      node: (row) => {
        this.#messages++;
        ring.node(source, row);
        if (table !== undefined && --table.left === 0) ring.tableRead(source, table.header);
        this.#excerpt.add(() => describeRow(row));
      },
      userMessage: (bytes) => {
        this.#messages++;
        this.#excerpt.add(() => `user ${bytes} bytes`);
        if (collectsUser(source, bytes)) this.#user = new Pending();
      },
      user: (piece) => {
        this.#kv?.push(piece);
        this.#user?.append(piece);
      },
      message: (message) => {
        this.#messages++;
        ring.message(source, message);
        this.#excerpt.add(() => describeMessage(message));
      },
    });
  }
}
