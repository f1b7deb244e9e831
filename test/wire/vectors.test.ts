// What memberlist, Grafana's fork and dskit wrote themselves (test/interop/vectors), read with the wire layer.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Parsed } from '../../src/wire/codec-reason.ts';
import { createDskitRewriter } from '../../src/wire/dskit.ts';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { decodeMessage } from '../../src/wire/messages.ts';
import { decodePushPull, decodeUserStream, openStream } from '../../src/wire/push-pull.ts';
import { decodeStreamHeader, type StreamHeader } from '../../src/wire/stream-header.ts';
import { walkPacket } from '../../src/wire/walk.ts';

interface Expected {
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface Vector {
  readonly name: string;
  readonly kind: 'packet' | 'stream' | 'answer' | 'dskit-packet' | 'dskit-stream';
  readonly hex: string;
  readonly labelHex: string;
  readonly layers?: readonly string[];
  readonly messages?: readonly Expected[];
  readonly advertised?: string;
  readonly verdict?: { readonly removeOk: boolean; readonly memberLabelHex: string; readonly accepted: boolean };
}

const directory = join(import.meta.dirname, '..', 'fixtures', 'vectors');
const HAS_LABEL = 244;
const DIGEST_BYTES = 16;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesOf = ({ hex: text }: Vector) => Uint8Array.from(Buffer.from(text, 'hex'));

/** A decoded struct as the vectors write it: bytes as hex. */
function plain(value: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, v instanceof Uint8Array ? hex(v) : v]));
}

function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(`${parsed.reason} at ${parsed.at}`);
  return parsed.value;
}

/** The header of a whole connection; the same when its bytes arrive one at a time. */
function readHeader(t: Test, name: string, bytes: Uint8Array): StreamHeader {
  const whole = decodeStreamHeader(bytes, true, 'auto');
  if (!whole.done) throw new Error(`${name}: no header in a whole connection`);
  for (let n = 0; n < bytes.length; n++) {
    const early = decodeStreamHeader(bytes.subarray(0, n), false, 'auto');
    if (!early.done) continue;
    t.strictSame(early.header, whole.header, `${name}: the header of ${n} bytes is the one of all ${bytes.length}`);
    break;
  }
  return whole.header;
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

function readPacketMessages(t: Test, name: string, body: Uint8Array): Expected[] {
  const walk = walkPacket(body);
  t.strictSame([walk.failures, walk.truncatedParts], [[], 0], `${name}: all of it can be read`);
  return walk.messages.map((message) => {
    if (message.type === 'user') return { type: 'user', fields: { Body: hex(message.data) } };
    const { type, ...fields } = message;
    return { type, fields: plain(fields) };
  });
}

function checkMessages(t: Test, vector: Vector, body: Uint8Array): void {
  const { name, kind, messages } = vector;
  if (messages === undefined) return;
  const packet = kind === 'packet' || kind === 'dskit-packet';
  t.strictSame(packet ? readPacketMessages(t, name, body) : [readStreamMessage(body)], messages, name);
}

/** Ours is malformed exactly where memberlist refuses the header, or would meet a second one. */
function checkVerdict(t: Test, vector: Vector, malformed: string | undefined, label: Uint8Array): void {
  const { name, verdict, labelHex } = vector;
  if (verdict === undefined) return;
  const bytes = bytesOf(vector);
  const second = verdict.removeOk && labelHex !== '' && bytes[2 + labelHex.length / 2] === HAS_LABEL;
  t.equal(malformed !== undefined, !verdict.removeOk || second, `${name}: malformed (${malformed}) as memberlist says`);
  if (second) t.equal(malformed, 'label_double', name);
  if (malformed === undefined) t.equal(hex(label), labelHex, `${name}: the label that memberlist removed`);
  const passes = malformed === undefined && hex(label) === verdict.memberLabelHex;
  t.ok(passes || !verdict.accepted, `${name}: nothing that memberlist takes is rejected`);
  // A frame of a label alone is taken by the header and comes to nothing behind it.
  const empty = bytes.length === 2 + labelHex.length / 2;
  t.equal(passes && !empty, verdict.accepted, `${name}: and nothing else passes`);
}

function checkPacket(t: Test, vector: Vector): void {
  const bytes = bytesOf(vector);
  const peeked = peekPacketLabel(bytes);
  checkVerdict(t, vector, peeked.ok ? undefined : peeked.reason, peeked.ok ? peeked.value.label : new Uint8Array(0));
  if (!peeked.ok) {
    t.ok(vector.verdict, `${vector.name}: only judged frames may be malformed, this is ${peeked.reason}`);
    return;
  }
  const { label, bodyAt } = peeked.value;
  const body = bytes.subarray(bodyAt);
  t.equal(hex(label), vector.labelHex, `${vector.name}: label`);
  if (label.length > 0) {
    t.equal(
      hex(addPacketLabel(body, encodeLabelHeader(label))),
      vector.hex,
      `${vector.name}: written as memberlist does`,
    );
  }
  checkMessages(t, vector, body);
}

function checkStream(t: Test, vector: Vector): void {
  const bytes = bytesOf(vector);
  const header = readHeader(t, vector.name, bytes);
  checkVerdict(t, vector, header.malformed, header.label);
  if (header.malformed !== undefined) {
    t.ok(vector.verdict, `${vector.name}: only judged frames may be malformed, this is ${header.malformed}`);
    return;
  }
  t.equal(hex(header.label), vector.labelHex, `${vector.name}: label`);
  t.equal(header.transport, vector.kind === 'stream' ? 'native' : 'dskit', `${vector.name}: transport`);
  t.equal(header.kind, vector.kind === 'dskit-packet' ? 'packet' : 'stream', `${vector.name}: kind`);
  t.equal(header.advertised, vector.advertised ?? '', `${vector.name}: advertised address`);
  const end = vector.kind === 'dskit-packet' ? bytes.length - DIGEST_BYTES : bytes.length;
  if (vector.kind === 'dskit-packet') {
    const digest = createHash('md5').update(bytes.subarray(header.labelAt, end)).digest();
    t.equal(hex(digest), hex(bytes.subarray(end)), `${vector.name}: digest`);
  }
  checkMessages(t, vector, bytes.subarray(header.bodyAt, end));
}

function checkVector(t: Test, vector: Vector): void {
  if (vector.kind === 'packet') checkPacket(t, vector);
  // The listener's side of an exchange never has a label header.
  else if (vector.kind === 'answer') checkMessages(t, vector, bytesOf(vector));
  else checkStream(t, vector);
}

const documents = readdirSync(directory)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as { origin: string; vectors: Vector[] });

for (const { origin, vectors } of documents) {
  t.test(origin, (t) => {
    for (const vector of vectors) t.doesNotThrow(() => checkVector(t, vector), vector.name);
    t.end();
  });
}

t.test('the vectors cover what they are for', (t) => {
  const all = documents.flatMap(({ origin, vectors }) => vectors.map((vector) => ({ origin, vector })));
  const releases = ['v0.6.0', 'v0.5.0', 'v0.3.1', 'v0.2.2'].map((v) => `hashicorp/memberlist@${v}`);
  for (const release of [...releases, 'grafana/memberlist@', 'grafana/dskit@']) {
    t.ok(
      documents.some(({ origin }) => origin.includes(release)),
      release,
    );
  }
  const lengthsOf = (kind: string) =>
    new Set(all.filter(({ vector }) => vector.kind === kind).map(({ vector }) => vector.labelHex.length / 2));
  for (const kind of ['packet', 'stream']) {
    const lengths = lengthsOf(kind);
    const missing = Array.from({ length: 256 }, (_, n) => n).filter((n) => !lengths.has(n));
    t.strictSame(missing, [], `labels of 0 to 255 bytes: ${kind}`);
  }
  for (const kind of ['dskit-packet', 'dskit-stream']) {
    t.ok(
      [0, 1, 16, 255].every((n) => lengthsOf(kind).has(n)),
      `labels of several lengths: ${kind}`,
    );
  }
  const types = new Set(all.flatMap(({ vector }) => (vector.messages ?? []).map(({ type }) => type)));
  for (const type of [
    'ping',
    'indirectPing',
    'ackResp',
    'nackResp',
    'suspect',
    'alive',
    'dead',
    'pushPull',
    'user',
    'err',
  ]) {
    t.ok(types.has(type), `message ${type}`);
  }
  const refused = all.filter(({ vector }) => vector.verdict?.removeOk === false);
  t.ok(refused.length >= 4 * 10, 'headers that four sources refuse');
  t.end();
});

t.test("a rewritten dskit packet is the one that dskit's own transport writes", (t) => {
  const vectors = documents.flatMap(({ vectors }) => vectors);
  const written = vectors.filter(({ kind, name }) => kind === 'dskit-packet' && /WriteTo from .*, label of/.test(name));
  t.ok(written.length >= 12);
  for (const from of written) {
    for (const to of written.filter(({ advertised }) => advertised === from.advertised)) {
      if ((from.labelHex === '') === (to.labelHex === '')) continue;
      const bytes = bytesOf(from);
      const header = readHeader(t, from.name, bytes);
      const rewrite = to.labelHex === '' ? 'strip' : 'add';
      const label = to.labelHex === '' ? 'unused' : Buffer.from(to.labelHex, 'hex');
      const rewriter = createDskitRewriter({ header, rewrite, labelHeader: encodeLabelHeader(Buffer.from(label)) });
      const parts = [rewriter.push(bytes), rewriter.end()].flatMap((chunks) => (chunks.ok ? chunks.value : []));
      t.equal(hex(Buffer.concat(parts)), to.hex, `${rewrite}: ${from.name} to ${to.name}`);
    }
  }
  t.end();
});
