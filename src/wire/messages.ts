/**
 * The messages of memberlist: `type(1) msgpack-map`, and `8 bytes` for an application's. Mirrors the structs of memberlist net.go
 * and its handlers' decoding. What follows a body is ignored, as there.
 */
import { failed, type Parsed } from './codec-reason.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { decodeStruct, type Fields, type Schema } from './msgpack.ts';
import { encodeStruct } from './msgpack-write.ts';

const SOURCE = { SourceAddr: 'bytes', SourcePort: 'u16', SourceNode: 'text' } as const;
const SOURCE_NAMES: ReadonlySet<string> = new Set(Object.keys(SOURCE));
const ACCUSATION = { fields: { Incarnation: 'u32', Node: 'text', From: 'text' } } as const satisfies Schema;

/** Fields of every message with a msgpack body, in Go's order. Only append. */
export const MESSAGE_SCHEMAS = {
  ping: { fields: { SeqNo: 'u32', Node: 'text', ...SOURCE }, omitEmpty: SOURCE_NAMES },
  indirectPing: {
    fields: { SeqNo: 'u32', Target: 'bytes', Port: 'u16', Node: 'text', Nack: 'bool', ...SOURCE },
    omitEmpty: SOURCE_NAMES,
  },
  ackResp: { fields: { SeqNo: 'u32', Payload: 'bytes' } },
  nackResp: { fields: { SeqNo: 'u32' } },
  suspect: ACCUSATION,
  alive: {
    fields: { Incarnation: 'u32', Node: 'text', Addr: 'bytes', Port: 'u16', Meta: 'bytes', Vsn: 'bytes' },
  },
  dead: ACCUSATION,
  err: { fields: { Error: 'text' } },
} as const satisfies Record<string, Schema>;

type Schemas = typeof MESSAGE_SCHEMAS;
export type BodyType = keyof Schemas;

/** A message by its type, its fields under memberlist's names. Byte fields are views of the input's memory. */
export type Message =
  | { [T in BodyType]: { readonly type: T } & Readonly<Fields<Schemas[T]>> }[BodyType]
  | { readonly type: 'user'; readonly data: Uint8Array };

export type MessageOf<T extends Message['type']> = Extract<Message, { type: T }>;

const BODY_TYPES = Object.keys(MESSAGE_SCHEMAS) as BodyType[];
const SCHEMA_OF_BYTE: readonly (Schema | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const type = BODY_TYPES.find((name) => MESSAGE_TYPE[name] === byte);
  return type === undefined ? undefined : { ...MESSAGE_SCHEMAS[type], type };
});

/**
 * Reads one message, its type byte included. Total. Layers around messages (compound, compress, CRC) and push/pull are
 * `type_unexpected` here: see walk.ts and push-pull.ts.
 */
export function decodeMessage(bytes: Uint8Array): Parsed<Message> {
  const first = bytes[0];
  if (first === undefined) return failed('empty', 0);
  if (first === MESSAGE_TYPE.user) return { ok: true, value: { type: 'user', data: bytes.subarray(1) } };
  const schema = SCHEMA_OF_BYTE[first];
  if (schema === undefined) return failed(isKnownType(first) ? 'type_unexpected' : 'type_unknown', 0);
  const body = decodeStruct<Schema>(bytes, 1, schema);
  // With its type, by the schema.
  return body.ok ? { ok: true, value: body.value.fields as unknown as Message } : body;
}

function isKnownType(byte: number): boolean {
  return Object.values<number>(MESSAGE_TYPE).includes(byte);
}

/** A message as bytes, a new buffer. Throws a RangeError for numbers outside their Go type: messages are our own. */
export function encodeMessage(message: Message): Uint8Array {
  const head = Uint8Array.of(MESSAGE_TYPE[message.type]);
  if (message.type === 'user') return Buffer.concat([head, message.data]);
  return Buffer.concat([head, encodeStruct<Schema>({ ...message } as Fields<Schema>, MESSAGE_SCHEMAS[message.type])]);
}
