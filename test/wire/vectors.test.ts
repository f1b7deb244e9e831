// What memberlist, Grafana's fork, dskit and Alertmanager wrote themselves (test/interop/vectors), read with the wire layer.
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { createDskitRewriter } from '../../src/wire/dskit.ts';
import { looksEncrypted } from '../../src/wire/encryption.ts';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { decodeNodeMeta } from '../../src/wire/node-meta.ts';
import { advertisedAddress, decodeStreamHeader, type StreamHeader } from '../../src/wire/stream-header.ts';
import {
  DOCUMENTS,
  hex,
  isPacket,
  keyringOf,
  openSeal,
  readConnection,
  readMessages,
  readPairs,
  unhex,
  type Vector,
  value,
} from './golden.ts';

const HAS_LABEL = 244;
const DIGEST_BYTES = 16;
const bytesOf = ({ hex: text }: Vector) => unhex(text);

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

function checkMessages(t: Test, vector: Vector, body: Uint8Array): void {
  const { name, messages, seal, pairs } = vector;
  if (messages === undefined) return;
  if (isPacket(vector)) t.equal(looksEncrypted(body), seal !== undefined, `${name}: told without a key`);
  const plain = seal === undefined ? body : checkSeal(t, vector, body);
  t.strictSame(readMessages(vector, plain), messages, name);
  if (pairs !== undefined) t.strictSame(readPairs(vector), pairs, `${name}: key-value pairs`);
}

/** It opens with the key and the label that memberlist opens it with, and with no other. */
function checkSeal(t: Test, vector: Vector, body: Uint8Array): Uint8Array {
  const { name, seal } = vector;
  const { plain, ...opened } = value(openSeal(vector, body));
  const form = seal?.labelHex === '' ? 'empty' : 'label';
  t.strictSame(opened, { version: seal?.version, key: seal?.key, form }, `${name}: how it is sealed`);
  const other = openSeal(vector, body, keyringOf(vector, [seal?.key ?? 0]));
  t.match(other, { ok: false, reason: 'no_key' }, `${name}: without that key`);
  if (form === 'label') {
    t.match(openSeal(vector, body, keyringOf(vector), unhex('00')), { ok: false, reason: 'no_key' }, `${name}: label`);
  }
  return plain;
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
  t.equal(advertisedAddress(header, bytes), vector.advertised ?? '', `${vector.name}: advertised address`);
  const end = vector.kind === 'dskit-packet' ? bytes.length - DIGEST_BYTES : bytes.length;
  if (vector.kind === 'dskit-packet') {
    const digest = createHash('md5').update(bytes.subarray(header.labelAt, end)).digest();
    t.equal(hex(digest), hex(bytes.subarray(end)), `${vector.name}: digest`);
  }
  checkMessages(t, vector, bytes.subarray(header.bodyAt, end));
}

function checkVector(t: Test, vector: Vector): void {
  const { name, kind, pairs, meta, frames, restHex } = vector;
  if (kind === 'kv' || kind === 'kv-run') t.strictSame(readPairs(vector), pairs, name);
  else if (kind === 'node-meta') t.strictSame(decodeNodeMeta(bytesOf(vector)), meta, name);
  else if (kind === 'alertmanager') {
    t.strictSame(readConnection(bytesOf(vector)), { frames, ...(restHex === undefined ? {} : { restHex }) }, name);
  } else if (kind === 'packet') checkPacket(t, vector);
  // The listener's side of an exchange never has a label header.
  else if (vector.kind === 'answer') checkMessages(t, vector, bytesOf(vector));
  else checkStream(t, vector);
}

for (const { origin, vectors } of DOCUMENTS) {
  t.test(origin, (t) => {
    for (const vector of vectors) t.doesNotThrow(() => checkVector(t, vector), vector.name);
    t.end();
  });
}

t.test("a rewritten dskit packet is the one that dskit's own transport writes", (t) => {
  const vectors = DOCUMENTS.flatMap(({ vectors }) => vectors);
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
