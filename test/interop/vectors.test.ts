/** The other direction of the golden vectors: what the wire layer writes, read by Go's own code (`vectors read`). */
import t, { type Test } from 'tap';
import { encodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { createKeyring, sealPacket, sealStream } from '../../src/wire/encryption.ts';
import { encodeKvPair, encodeKvRun, type KvPair } from '../../src/wire/kv.ts';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { encodeMessage, type Message } from '../../src/wire/messages.ts';
import { encodeNodeMeta } from '../../src/wire/node-meta.ts';
import {
  decodePushPull,
  decodeUserStream,
  encodePushPull,
  encodeUserStream,
  openStream,
} from '../../src/wire/push-pull.ts';
import { walkPacket } from '../../src/wire/walk.ts';
import { requireTools } from '../lab/tools.ts';
import { DOCUMENTS, type Expected, isPacket, openSeal, unhex, type Vector, value } from '../wire/golden.ts';
import type { VectorOrigin } from './build.ts';
import { KEYS, readInGo, type Written } from './read-in-go.ts';

const skip = requireTools(['go']);
const BUILD_TIMEOUT_MS = 300_000;
const LABEL = Uint8Array.from(Buffer.from('traces.prod'));
const NONE = new Uint8Array(0);
const ring = createKeyring(KEYS);

async function check(t: Test, origin: VectorOrigin, written: readonly Written[]): Promise<void> {
  t.ok(written.length > 0);
  const answers = await readInGo(origin, written);
  for (const [i, { kind, expected }] of written.entries()) {
    const answer = answers[i] ?? {};
    const told = Object.fromEntries(Object.keys(expected).map((key) => [key, answer[key]]));
    t.strictSame(told, expected, `${origin} ${kind} ${i}: ${answer['error'] ?? 'read'}`);
  }
}

/** Every plain body of the golden frames of `origin`, with what Go read in it. */
function bodies(origin: string): { vector: Vector; body: Uint8Array; messages: readonly Expected[] }[] {
  const found = DOCUMENTS.filter((document) => document.origin.includes(origin)).flatMap(({ vectors }) => vectors);
  return found.flatMap((vector) => {
    const { kind, hex, messages, seal } = vector;
    if (messages === undefined || (kind !== 'packet' && kind !== 'stream' && kind !== 'answer')) return [];
    const frame = unhex(hex);
    const peeked = kind === 'answer' ? undefined : peekPacketLabel(frame);
    const body = peeked?.ok ? frame.subarray(peeked.value.bodyAt) : frame;
    return [{ vector, body: seal === undefined ? body : value(openSeal(vector, body)).plain, messages }];
  });
}

/** Each golden body sealed anew: versions, keys and labels in turn. */
function sealedAnew(origin: string, labels: readonly Uint8Array[]): Written[] {
  return bodies(origin).map(({ vector, body, messages }, i) => {
    const version = (i & 1) as 0 | 1;
    const key = i % KEYS.length;
    const label = labels[(i >> 1) % labels.length] ?? NONE;
    const labelHex = Buffer.from(label).toString('hex');
    const frame = isPacket(vector)
      ? sealPacket(ring, body, label, version, key)
      : sealStream(ring, body, label, version, key);
    const isAnswer = vector.kind === 'answer';
    return {
      kind: vector.kind,
      bytes: isAnswer || label.length === 0 ? frame : addPacketLabel(frame, encodeLabelHeader(label)),
      ...(isAnswer ? { label } : {}),
      sealed: true,
      expected: { messages, labelHex: isAnswer ? '' : labelHex, seal: { ...SEAL, labelHex, version, key } },
    };
  });
}
const SEAL = { keysHex: KEYS.map((key) => Buffer.from(key).toString('hex')) };

/** Each golden message encoded by us: alone, under a checksum, together in compounds, and in streams. */
function encodedAnew(origin: string): Written[] {
  const out: Written[] = [];
  const parts: { bytes: Uint8Array; expected: Expected }[] = [];
  for (const { vector, body, messages } of bodies(origin)) {
    if (!isPacket(vector)) out.push({ kind: vector.kind, bytes: streamAnew(body), expected: { messages } });
    else {
      for (const [i, message] of walkPacket(body).messages.entries()) {
        parts.push({ bytes: encodeMessage(message), expected: messages[i] as Expected });
      }
    }
  }
  for (const { bytes, expected } of parts)
    out.push({ kind: 'packet', bytes: addCrc(bytes), expected: { messages: [expected] } });
  for (let i = 0; i < parts.length; i += 20) {
    const some = parts.slice(i, i + 20);
    const messages = some.map(({ expected }) => expected);
    out.push({ kind: 'packet', bytes: encodeCompound(some.map(({ bytes }) => bytes)), expected: { messages } });
  }
  return out;
}

function streamAnew(body: Uint8Array): Uint8Array {
  const { message } = value(openStream(body));
  if (message[0] === 6) return encodePushPull(value(decodePushPull(message)));
  if (message[0] === 8) return encodeUserStream(value(decodeUserStream(message)));
  const [only] = walkPacket(message).messages;
  return encodeMessage(only as Message);
}

t.test('memberlist v0.6.0 reads what we write and seal', { skip, timeout: BUILD_TIMEOUT_MS }, async (t) => {
  await check(t, 'v0.6.0', [...encodedAnew('memberlist@v0.6.0'), ...sealedAnew('memberlist@v0.6.0', [NONE, LABEL])]);
});

t.test('memberlist v0.2.2, which predates labels, reads it too', { skip, timeout: BUILD_TIMEOUT_MS }, async (t) => {
  await check(t, 'v0.2.2', [...encodedAnew('memberlist@v0.2.2'), ...sealedAnew('memberlist@v0.2.2', [NONE])]);
});

t.test('dskit reads our key-value pairs and metadata', { skip, timeout: BUILD_TIMEOUT_MS }, async (t) => {
  const sent: KvPair[] = [
    { key: 'a/text', value: Buffer.from('plain'), codec: 'string', deleted: false, updateTimeMs: 1_700_000_000_123 },
    { key: 'gone', value: NONE, codec: 'string', deleted: true, updateTimeMs: -1 },
    { key: '', value: Buffer.from([0, 255]), codec: '', deleted: false, updateTimeMs: 2 ** 53 - 1 },
  ];
  const facts = sent.map(({ value: bytes, ...pair }) => ({
    ...pair,
    ...(bytes.length === 0 ? {} : { valueHex: Buffer.from(bytes).toString('hex') }),
  }));
  const written: Written[] = [
    ...sent.map(
      (pair, i): Written => ({ kind: 'kv', bytes: encodeKvPair(pair), expected: { pairs: [facts[i] as object] } }),
    ),
    { kind: 'kv-run', bytes: encodeKvRun(sent), expected: { pairs: facts } },
  ];
  for (const role of ['member', 'bridge'] as const) {
    const meta = { role, zone: 'zone-ü' };
    written.push({ kind: 'node-meta', bytes: encodeNodeMeta(meta), expected: { meta } });
  }
  await check(t, 'dskit', written);
});

t.test('Alertmanager reads our frames', { skip, timeout: BUILD_TIMEOUT_MS }, async (t) => {
  const ping = encodeMessage({ type: 'ping', SeqNo: 1, Node: 'b', SourceAddr: NONE, SourcePort: 0, SourceNode: '' });
  const fields = { SeqNo: 1, Node: 'b', SourceAddr: '', SourcePort: 0, SourceNode: '' };
  const packets = [ping, addPacketLabel(ping, encodeLabelHeader(LABEL)), NONE];
  const frames = packets.map((msg) => encodeAlertmanagerFrame({ kind: 'packet', from: '10.1.0.1:9094', msg }));
  const told = packets.map((msg, i) => ({
    kind: 'packet',
    from: '10.1.0.1:9094',
    msgHex: Buffer.from(msg).toString('hex'),
    labelHex: i === 1 ? Buffer.from(LABEL).toString('hex') : '',
    ...(msg.length === 0 ? {} : { messages: [{ type: 'ping', fields }] }),
  }));
  const stream = Buffer.concat([encodeAlertmanagerFrame({ kind: 'stream', from: '', msg: NONE }), ping]);
  await check(t, 'alertmanager', [
    { kind: 'alertmanager', bytes: Buffer.concat(frames), expected: { frames: told } },
    {
      kind: 'alertmanager',
      bytes: stream,
      expected: {
        frames: [{ kind: 'stream', from: '', msgHex: '', labelHex: '' }],
        restHex: Buffer.from(ping).toString('hex'),
      },
    },
  ]);
});
