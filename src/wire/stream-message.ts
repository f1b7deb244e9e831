/**
 * The message inside a native stream, uncompressed, read as it arrives: a push/pull row by row, a user message's header, or one of
 * the small ones. Mirrors memberlist net.go `handleConn`, `readRemoteState` and `readUserMsg`.
 */
import { type CodecFailure, type CodecReason, failed } from './codec-reason.ts';
import { PUSH_PULL_NODES_MAX, STREAM_STRUCT_MAX_BYTES, USER_STATE_MAX_BYTES } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { decodeMessage, MESSAGE_SCHEMAS, type Message } from './messages.ts';
import { decodeStruct } from './msgpack.ts';
import { type ScanPlan, scanPlan } from './msgpack-plan.ts';
import { type FieldVisitor, integerAt, SCAN, scanStruct, structHead } from './msgpack-scan.ts';
import { Pending } from './pending.ts';
import { PUSH_PULL_HEADER, PUSH_PULL_NODE, type PushPullNode, USER_HEADER } from './push-pull.ts';

export interface PushPullHead {
  readonly nodes: number;
  readonly userStateBytes: number;
  readonly join: boolean;
}

/**
 * What a reader tells, in order. Views are valid until the callback returns. A message that turns out to be refused further on
 * has been told in part: the reader's end state says so.
 */
export interface StreamVisitor {
  pushPull?(head: PushPullHead): void;
  /** A row's bytes from `at` to `end`, as msgpack; also one that `node` is not told of, because its fields have wrong types. */
  row?(bytes: Uint8Array, at: number, end: number): void;
  node?(node: PushPullNode): void;
  /** The header of a user message: how many bytes follow. */
  userMessage?(bytes: number): void;
  /** A piece of a push/pull's user state or of a user message. */
  user?(piece: Uint8Array): void;
  /** A ping, its ack, or an error. */
  message?(message: Message): void;
  /** A compress layer around it (COMPRESS_ALGORITHM, or an unknown number) whose content is so long, packed. */
  compressed?(algorithm: number, bytes: number): void;
}

export interface MessageBounds {
  /** PUSH_PULL_NODES_MAX. */
  readonly nodes?: number;
  /** USER_STATE_MAX_BYTES, for user messages too. */
  readonly userBytes?: number;
}

type Phase = 'type' | 'header' | 'rows' | 'body' | 'done';

const REASON_OF_SCAN: Readonly<Record<number, CodecReason>> = {
  [SCAN.truncated]: 'truncated',
  [SCAN.invalid]: 'field_type',
  [SCAN.claim]: 'length_claim',
  [SCAN.depth]: 'depth_limit',
  [SCAN.entries]: 'entries_limit',
  [SCAN.disguised]: 'disguised',
};

/** Why a scan ended below zero. */
export function reasonOfScan(code: number): CodecReason {
  return REASON_OF_SCAN[code] as CodecReason;
}

const PLANS: Readonly<Record<number, ScanPlan>> = {
  [MESSAGE_TYPE.pushPull]: scanPlan(PUSH_PULL_HEADER),
  [MESSAGE_TYPE.user]: scanPlan(USER_HEADER),
  [MESSAGE_TYPE.ping]: scanPlan(MESSAGE_SCHEMAS.ping),
  [MESSAGE_TYPE.ackResp]: scanPlan(MESSAGE_SCHEMAS.ackResp),
  [MESSAGE_TYPE.err]: scanPlan(MESSAGE_SCHEMAS.err),
};
const ROW = scanPlan(PUSH_PULL_NODE);

export class MessageReader {
  readonly #visitor: StreamVisitor;
  readonly #bounds: Required<MessageBounds>;
  readonly #pending = new Pending();
  #phase: Phase = 'type';
  #type = 0;
  #rowsLeft = 0;
  #bodyLeft = 0;
  #failure: CodecFailure | undefined;
  /** The integers of the header at hand, by position. */
  readonly #numbers = [0, 0, 0];

  constructor(visitor: StreamVisitor, bounds: MessageBounds) {
    this.#visitor = visitor;
    this.#bounds = {
      nodes: Math.min(bounds.nodes ?? PUSH_PULL_NODES_MAX, PUSH_PULL_NODES_MAX),
      userBytes: Math.min(bounds.userBytes ?? USER_STATE_MAX_BYTES, USER_STATE_MAX_BYTES),
    };
  }

  get failure(): CodecFailure | undefined {
    return this.#failure;
  }

  /** Only bytes of the body are missing, or nothing is. */
  get verified(): boolean {
    return this.#failure === undefined && (this.#phase === 'body' || this.#phase === 'done');
  }

  get done(): boolean {
    return this.#failure === undefined && this.#phase === 'done';
  }

  /** Reads what it can; what follows the message, or a failure, is ignored. */
  push(chunk: Uint8Array): void {
    let rest = chunk;
    if (this.#phase === 'body') rest = this.#body(chunk);
    if (this.#failure !== undefined || this.#phase === 'done' || rest.length === 0) return;
    // Whole rows are read where they are; only what is left of them is kept.
    const kept = this.#pending.length > 0;
    if (kept) this.#pending.append(rest);
    const view = kept ? this.#pending.view() : rest;
    const taken = this.#parse(view);
    const after = view.subarray(taken);
    if (this.#failure !== undefined || this.verified) {
      this.#pending.take(this.#pending.length);
      if (this.#phase === 'body') this.#body(after);
    } else if (after.length > STREAM_STRUCT_MAX_BYTES) this.#failure = failed('entries_limit', 0);
    else if (kept) this.#pending.take(taken);
    else if (after.length > 0) this.#pending.append(after);
  }

  /** No more bytes will come. */
  end(): void {
    if (this.#phase !== 'done') this.#failure ??= failed('truncated', 0);
  }

  /** How many of `bytes` are read now. */
  #parse(bytes: Uint8Array): number {
    let at = 0;
    if (this.#phase === 'type') at = this.#start(bytes[0] as number);
    while (this.#failure === undefined && (this.#phase === 'header' || this.#phase === 'rows')) {
      const next = this.#phase === 'header' ? this.#header(bytes, at) : this.#row(bytes, at);
      if (next === SCAN.truncated) break;
      if (next >= 0) at = next;
      else this.#failure ??= failed(reasonOfScan(next), at);
    }
    return at;
  }

  #start(type: number): number {
    this.#type = type;
    if (PLANS[type] === undefined) this.#failure = failed('type_unexpected', 0);
    this.#phase = 'header';
    return 1;
  }

  /** A struct that trickles in is scanned anew with every piece: its entries are bounded. */
  #scan<C>(bytes: Uint8Array, at: number, plan: ScanPlan, visit: FieldVisitor<C>, context: C): number {
    const head = structHead(bytes, at, bytes.length);
    return typeof head === 'number' ? head : scanStruct(bytes, at, bytes.length, plan, visit, context);
  }

  #header(bytes: Uint8Array, at: number): number {
    this.#numbers.fill(0);
    const end = this.#scan(bytes, at, PLANS[this.#type] as ScanPlan, noteNumber, this.#numbers);
    if (end < 0) return end;
    const [first = 0, second = 0, third = 0] = this.#numbers;
    if (this.#type === MESSAGE_TYPE.pushPull) this.#pushPull(first, second, third !== 0);
    else if (this.#type === MESSAGE_TYPE.user) this.#user(first);
    else this.#message(bytes.subarray(at, end));
    return end;
  }

  #pushPull(nodes: number, userStateBytes: number, join: boolean): void {
    if (nodes < 0 || nodes > this.#bounds.nodes) this.#failure = failed('nodes_limit', 1);
    else if (this.#isTooLong(userStateBytes)) this.#failure = failed('user_bytes_limit', 1);
    else {
      [this.#rowsLeft, this.#bodyLeft] = [nodes, userStateBytes];
      this.#visitor.pushPull?.({ nodes, userStateBytes, join });
      this.#phase = 'rows';
      this.#afterRows();
    }
  }

  #user(bytes: number): void {
    if (this.#isTooLong(bytes)) this.#failure = failed('user_bytes_limit', 1);
    else {
      this.#bodyLeft = bytes;
      this.#visitor.userMessage?.(bytes);
      this.#afterRows();
    }
  }

  #isTooLong(bytes: number): boolean {
    return bytes < 0 || bytes > this.#bounds.userBytes;
  }

  #message(body: Uint8Array): void {
    this.#phase = 'done';
    if (this.#visitor.message === undefined) return;
    const message = decodeMessage(Buffer.concat([Uint8Array.of(this.#type), body]));
    if (message.ok) this.#visitor.message(message.value);
    else this.#failure = message;
  }

  #row(bytes: Uint8Array, at: number): number {
    const end = this.#scan(bytes, at, ROW, noField, undefined);
    if (end < 0) return end;
    this.#visitor.row?.(bytes, at, end);
    if (this.#visitor.node !== undefined) {
      const node = decodeStruct(bytes, at, PUSH_PULL_NODE);
      if (node.ok) this.#visitor.node(node.value.fields);
      else this.#failure = node;
    }
    this.#rowsLeft--;
    this.#afterRows();
    return end;
  }

  #afterRows(): void {
    if (this.#rowsLeft > 0) return;
    this.#phase = this.#bodyLeft > 0 ? 'body' : 'done';
  }

  /** Takes what belongs to the body; nothing is left once that is complete. */
  #body(chunk: Uint8Array): Uint8Array {
    const piece = chunk.subarray(0, this.#bodyLeft);
    this.#bodyLeft -= piece.length;
    if (piece.length > 0) this.#visitor.user?.(piece);
    if (this.#bodyLeft === 0) this.#phase = 'done';
    return chunk.subarray(chunk.length);
  }
}

function noField(): number {
  return 0;
}

/** Booleans count as 0 and 1. */
function noteNumber(field: number, bytes: Uint8Array, at: number, _end: number, numbers: number[]): number {
  if (field < numbers.length) numbers[field] = bytes[at] === 0xc3 ? 1 : integerAt(bytes, at) || 0;
  return 0;
}
