/** The golden vectors (test/interop/vectors), and what the wire layer reads in one, in the words in which Go's own decoding is written there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import type { Parsed } from '../../src/wire/codec-reason.ts';
import { createKeyring, type Keyring, openPacket, openStream as openSealedStream } from '../../src/wire/encryption.ts';
import { createKvReader, decodeKvPair, type KvPair } from '../../src/wire/kv.ts';
import { peekPacketLabel } from '../../src/wire/label.ts';
import { decodeMessage } from '../../src/wire/messages.ts';
import { decodePushPull, decodeUserStream, openStream } from '../../src/wire/push-pull.ts';
import { decodePartitionRing, decodeRingDesc, PARTITION_RING_CODEC, RING_CODEC } from '../../src/wire/ring-desc.ts';
import { walkPacket } from '../../src/wire/walk.ts';

export interface Expected {
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Vector {
  readonly name: string;
  readonly kind:
    | ('packet' | 'stream' | 'answer' | 'dskit-packet' | 'dskit-stream')
    | ('kv' | 'kv-run' | 'node-meta' | 'alertmanager');
  readonly hex: string;
  readonly labelHex: string;
  readonly layers?: readonly string[];
  readonly messages?: readonly Expected[];
  readonly advertised?: string;
  /** How it is encrypted; `labelHex` is the label in the associated data, `key` the position of the key that opens it. */
  readonly seal?: {
    readonly keysHex: readonly string[];
    readonly labelHex: string;
    readonly version: number;
    readonly key: number;
  };
  readonly pairs?: readonly object[];
  readonly meta?: object;
  readonly frames?: readonly object[];
  readonly restHex?: string;
  readonly verdict?: { readonly removeOk: boolean; readonly memberLabelHex: string; readonly accepted: boolean };
}

const directory = join(import.meta.dirname, '..', 'fixtures', 'vectors');

export const DOCUMENTS = readdirSync(directory)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as { origin: string; vectors: Vector[] });

export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

/** The value, or an exception that says why there is none. */
export function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(`${parsed.reason} at ${parsed.at}`);
  return parsed.value;
}

/** A decoded struct as the vectors write it: bytes as hex. */
function plain(struct: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(struct).map(([k, v]) => [k, v instanceof Uint8Array ? hex(v) : v]));
}

export function isPacket({ kind }: Vector): boolean {
  return kind === 'packet' || kind === 'dskit-packet';
}

/** The keys of a sealed vector, but for those at the positions in `without`. */
export function keyringOf({ seal }: Vector, without: readonly number[] = []): Keyring {
  return createKeyring((seal?.keysHex ?? []).filter((_, i) => !without.includes(i)).map(unhex));
}

/** What `body` (after its label) is under its encryption. */
export function openSeal(vector: Vector, body: Uint8Array, keyring = keyringOf(vector), label?: Uint8Array) {
  const aad = label ?? unhex(vector.seal?.labelHex ?? '');
  return isPacket(vector) ? openPacket(keyring, body, aad) : openSealedStream(keyring, body, aad);
}

/** The messages of a frame, after its label and encryption. */
export function readMessages(vector: Vector, body: Uint8Array): Expected[] {
  return isPacket(vector) ? readPacket(body) : [readStreamMessage(body)];
}

function readPacket(body: Uint8Array): Expected[] {
  const walk = walkPacket(body);
  const [failure] = walk.failures;
  if (failure !== undefined) throw new Error(`${failure.reason} at ${failure.at}`);
  if (walk.truncatedParts > 0) throw new Error(`${walk.truncatedParts} parts are missing`);
  return walk.messages.map((message) => {
    if (message.type === 'user') return { type: 'user', fields: { Body: hex(message.data) } };
    const { type, ...fields } = message;
    return { type, fields: plain(fields) };
  });
}

function readStreamMessage(body: Uint8Array): Expected {
  const { message } = value(openStream(body));
  if (message[0] === 6) {
    const { join: Join, nodes, userState } = value(decodePushPull(message));
    const fields = {
      Join,
      Nodes: nodes.length,
      States: nodes.map(plain),
      UserState: hex(userState),
      UserStateLen: userState.length,
    };
    return { type: 'pushPull', fields };
  }
  if (message[0] === 8) {
    const data = value(decodeUserStream(message));
    return { type: 'user', fields: { Body: hex(data), UserMsgLen: data.length } };
  }
  const { type, ...fields } = value(decodeMessage(message));
  return { type, fields: plain(fields) };
}

/** The key-value pairs of a dskit vector: its own, or those inside its messages. */
export function readPairs(vector: Vector): object[] {
  if (vector.kind === 'kv') return [pairFacts(value(decodeKvPair(unhex(vector.hex))))];
  if (vector.kind === 'kv-run') return readRun(unhex(vector.hex));
  return (vector.messages ?? []).flatMap(({ type, fields }) => {
    if (type === 'user') return [pairFacts(value(decodeKvPair(unhex(fields['Body'] as string))))];
    return type === 'pushPull' ? readRun(unhex(fields['UserState'] as string)) : [];
  });
}

const PIECE_BYTES = 7;

function readRun(state: Uint8Array): object[] {
  const pairs: object[] = [];
  const reader = createKvReader((pair) => pairs.push(pairFacts(pair)));
  for (let at = 0; at < state.length; at += PIECE_BYTES) reader.push(state.subarray(at, at + PIECE_BYTES));
  const { failure } = reader.end();
  if (failure !== undefined) throw new Error(`${failure.reason} at ${failure.at}`);
  return pairs;
}

function pairFacts({ value: bytes, ...pair }: KvPair): object {
  if (pair.codec === RING_CODEC) return { ...pair, ...list('instances', value(decodeRingDesc(pair.codec, bytes))) };
  if (pair.codec === PARTITION_RING_CODEC) {
    const { partitions, owners } = value(decodePartitionRing(pair.codec, bytes));
    return { ...pair, ...list('partitions', partitions), ...list('owners', owners) };
  }
  return bytes.length === 0 ? pair : { ...pair, valueHex: hex(bytes) };
}

/** Maps have no order on the wire: here they are sorted, and absent when empty. */
function list(name: string, entries: readonly { readonly id: string | number }[]): object {
  const sorted = [...entries].sort((a, b) => (a.id < b.id ? -1 : 1));
  return sorted.length === 0 ? {} : { [name]: sorted };
}

/** The frames of one Alertmanager connection, and what follows the frame that makes it a stream. */
export function readConnection(bytes: Uint8Array): { readonly frames: object[]; readonly restHex?: string } {
  const frames: object[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const frame = decodeAlertmanagerFrame(rest);
    if (!frame.ok || !frame.done) throw new Error(JSON.stringify(frame));
    const { kind, from, msg } = frame;
    rest = rest.subarray(frame.end);
    const peeked = peekPacketLabel(msg);
    if (!peeked.ok) throw new Error(peeked.reason);
    const { label, bodyAt } = peeked.value;
    const messages = msg.length > bodyAt ? { messages: readPacket(msg.subarray(bodyAt)) } : {};
    frames.push({ kind, from, msgHex: hex(msg), labelHex: hex(label), ...messages });
    if (kind === 'stream') return { frames, restHex: hex(rest) };
  }
  return { frames };
}
