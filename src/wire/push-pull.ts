/**
 * The push/pull exchange of a stream: `6 msgpack{Nodes, UserStateLen, Join}`, then Nodes states, then UserStateLen bytes. Mirrors
 * memberlist net.go `sendLocalState`, `readRemoteState` and `readStream` (one compress layer around the whole).
 *
 * The node count reserves nothing: a list grows as states arrive (memberlist reserves about 117 MB for the largest count).
 */
import { failed, type Parsed } from './codec-reason.ts';
import { openCompress } from './compress.ts';
import { DECOMPRESSED_MAX_BYTES, PUSH_PULL_NODES_MAX, USER_STATE_MAX_BYTES } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { decodeStruct, type Fields, type Schema } from './msgpack.ts';
import { encodeStruct } from './msgpack-write.ts';

/** memberlist net.go `pushPullHeader`. */
export const PUSH_PULL_HEADER = {
  fields: { Nodes: 'int', UserStateLen: 'int', Join: 'bool' },
} as const satisfies Schema;
/** memberlist net.go `pushNodeState`. */
export const PUSH_PULL_NODE = {
  fields: {
    Name: 'text',
    Addr: 'bytes',
    Port: 'u16',
    Meta: 'bytes',
    Incarnation: 'u32',
    State: 'int',
    Vsn: 'bytes',
  },
} as const satisfies Schema;
/** memberlist net.go `userMsgHeader`. */
export const USER_HEADER = { fields: { UserMsgLen: 'int' } } as const satisfies Schema;

/** memberlist state.go `NodeStateType`. Only append. */
export const NODE_STATE = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;

/** One row of a push/pull's table; byte fields are views of the input's memory. `State` may be any integer. */
export type PushPullNode = Readonly<Fields<typeof PUSH_PULL_NODE>>;

export interface PushPull {
  readonly join: boolean;
  readonly nodes: readonly PushPullNode[];
  /** A view of the input's memory. */
  readonly userState: Uint8Array;
}

export interface OpenedStream {
  /** The message, type byte first; unpacked (a new buffer), or a view of the input. */
  readonly message: Uint8Array;
  readonly compressed: boolean;
}

/**
 * Takes the compress layer off a native stream message (after its label, not encrypted). `truncated` with `at` says how many bytes
 * have to be there before a next try makes sense.
 */
export function openStream(bytes: Uint8Array, maxBytes = DECOMPRESSED_MAX_BYTES): Parsed<OpenedStream> {
  if (bytes.length === 0) return failed('truncated', 1);
  if (bytes[0] !== MESSAGE_TYPE.compress) return { ok: true, value: { message: bytes, compressed: false } };
  const inner = openCompress(bytes, maxBytes);
  return inner.ok ? { ok: true, value: { message: inner.value, compressed: true } } : inner;
}

/** Reads a push/pull, its type byte included (after openStream). Total; `maxNodes` and `maxUserBytes` can only narrow the wire's bounds. */
export function decodePushPull(
  message: Uint8Array,
  maxNodes = PUSH_PULL_NODES_MAX,
  maxUserBytes = USER_STATE_MAX_BYTES,
): Parsed<PushPull> {
  if (message.length === 0) return failed('truncated', 1);
  if (message[0] !== MESSAGE_TYPE.pushPull) return failed('type_unexpected', 0);
  const header = decodeStruct(message, 1, PUSH_PULL_HEADER);
  if (!header.ok) return header;
  const { Nodes, UserStateLen, Join } = header.value.fields;
  if (Nodes < 0 || Nodes > Math.min(maxNodes, PUSH_PULL_NODES_MAX)) return failed('nodes_limit', 1);
  if (UserStateLen < 0 || UserStateLen > Math.min(maxUserBytes, USER_STATE_MAX_BYTES)) {
    return failed('user_bytes_limit', 1);
  }
  const nodes: PushPullNode[] = [];
  let at = header.value.end;
  for (let i = 0; i < Nodes; i++) {
    const node = decodeStruct(message, at, PUSH_PULL_NODE);
    if (!node.ok) return node;
    nodes.push(node.value.fields);
    at = node.value.end;
  }
  const end = at + UserStateLen;
  if (message.length < end) return failed('truncated', end);
  return { ok: true, value: { join: Join, nodes, userState: message.subarray(at, end) } };
}

/** A push/pull as bytes, uncompressed, which every memberlist takes. A new buffer. Throws a RangeError as encodeStruct does. */
export function encodePushPull({ join, nodes, userState }: PushPull): Uint8Array {
  const header = encodeStruct({ Nodes: nodes.length, UserStateLen: userState.length, Join: join }, PUSH_PULL_HEADER);
  return Buffer.concat([
    Uint8Array.of(MESSAGE_TYPE.pushPull),
    header,
    ...nodes.map((node) => encodeStruct({ ...node }, PUSH_PULL_NODE)),
    userState,
  ]);
}

/** Reads a user message of a stream, its type byte included: `8 msgpack{UserMsgLen} bytes`. A view of the input's memory. Total. */
export function decodeUserStream(message: Uint8Array, maxBytes = USER_STATE_MAX_BYTES): Parsed<Uint8Array> {
  if (message.length === 0) return failed('truncated', 1);
  if (message[0] !== MESSAGE_TYPE.user) return failed('type_unexpected', 0);
  const header = decodeStruct(message, 1, USER_HEADER);
  if (!header.ok) return header;
  const { fields, end } = header.value;
  if (fields.UserMsgLen < 0 || fields.UserMsgLen > Math.min(maxBytes, USER_STATE_MAX_BYTES)) {
    return failed('user_bytes_limit', 1);
  }
  if (message.length < end + fields.UserMsgLen) return failed('truncated', end + fields.UserMsgLen);
  return { ok: true, value: message.subarray(end, end + fields.UserMsgLen) };
}

/** A user message for a stream. A new buffer. */
export function encodeUserStream(data: Uint8Array): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(MESSAGE_TYPE.user),
    encodeStruct({ UserMsgLen: data.length }, USER_HEADER),
    data,
  ]);
}
