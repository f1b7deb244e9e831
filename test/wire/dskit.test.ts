import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { createDskitRewriter, type DskitRewriterOptions } from '../../src/wire/dskit.ts';
import { encodeLabelHeader } from '../../src/wire/label.ts';
import { decodeStreamHeader, type StreamHeader } from '../../src/wire/stream-header.ts';
import { chunked, PROPERTY } from '../property.ts';

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest();
const LABEL_HEADER = encodeLabelHeader(Buffer.from('prod'));
const PREFIX = Buffer.from('\x01\x0d10.0.0.1:7946', 'latin1');
const MESSAGE = Buffer.from('\x03a gossip message that is longer than a digest', 'latin1');

/** What dskit's writeTo puts on a connection. */
const connection = (packet: Uint8Array, digest: Uint8Array = md5(packet), prefix: Uint8Array = PREFIX) =>
  Buffer.concat([prefix, packet, digest]);
const labelled = (packet: Uint8Array) => Buffer.concat([LABEL_HEADER, packet]);

function headerOf(all: Uint8Array): StreamHeader {
  const state = decodeStreamHeader(all, true, 'dskit');
  if (!state.done || state.header.malformed !== undefined) throw new Error('not a dskit packet');
  return state.header;
}

type Rewrite = DskitRewriterOptions['rewrite'];

/** Everything that comes out of a connection, or the reason. A chunk's memory is overwritten once its output was "written". */
function rewritten(
  all: Uint8Array,
  rewrite: Rewrite,
  cuts: readonly number[] = [],
  header = headerOf(all),
): Buffer | string {
  const rewriter = createDskitRewriter({ header, rewrite, labelHeader: LABEL_HEADER });
  const out: Buffer[] = [];
  for (const part of chunked(all, cuts)) {
    const chunk = Buffer.from(part);
    const result = rewriter.push(chunk);
    if (!result.ok) return result.reason;
    out.push(...result.value.map((bytes) => Buffer.from(bytes)));
    chunk.fill(0xee);
  }
  const last = rewriter.end();
  if (!last.ok) return last.reason;
  return Buffer.concat([...out, ...last.value]);
}

const EVERY_BYTE = Array.from({ length: 400 }, (_, i) => i);

t.test('a label is added, and the digest is that of the labelled packet', async (t) => {
  const out = rewritten(connection(MESSAGE), 'add');
  t.same(out, connection(labelled(MESSAGE)));
  t.same(rewritten(connection(MESSAGE), 'add', EVERY_BYTE), out, 'byte by byte');
});

t.test('a label is stripped, and the digest is that of the bare packet', async (t) => {
  const out = rewritten(connection(labelled(MESSAGE)), 'strip');
  t.same(out, connection(MESSAGE));
  t.same(rewritten(connection(labelled(MESSAGE)), 'strip', EVERY_BYTE), out, 'byte by byte');
});

t.test('keep leaves every byte, wrong digest or right', async (t) => {
  for (const all of [connection(MESSAGE), connection(MESSAGE, Buffer.alloc(16)), connection(Buffer.alloc(0))]) {
    t.same(rewritten(all, 'keep'), all);
    t.same(rewritten(all, 'keep', EVERY_BYTE), all);
  }
});

t.test('an empty packet gets a label, and loses it again', async (t) => {
  const empty = connection(Buffer.alloc(0));
  const out = rewritten(empty, 'add', EVERY_BYTE);
  t.same(out, connection(LABEL_HEADER));
  t.same(rewritten(out as Buffer, 'strip', EVERY_BYTE), empty);
});

t.test('a packet with a wrong digest never comes out with a right one', async (t) => {
  const wrong = Buffer.alloc(16, 5);
  t.same(rewritten(connection(MESSAGE, wrong), 'add'), connection(labelled(MESSAGE), wrong), 'its own wrong digest');
  t.same(rewritten(connection(labelled(MESSAGE), wrong), 'strip'), connection(MESSAGE, wrong));
  const guessed = md5(labelled(MESSAGE));
  const out = rewritten(connection(MESSAGE, guessed), 'add') as Buffer;
  t.same(out.subarray(0, -16), Buffer.concat([PREFIX, labelled(MESSAGE)]));
  t.notSame(out.subarray(-16), guessed, 'not even when it was guessed to be right afterwards');
  const bare = rewritten(connection(labelled(MESSAGE), md5(MESSAGE)), 'strip') as Buffer;
  t.notSame(bare.subarray(-16), md5(MESSAGE));
});

t.test('the last 16 bytes are held back until the end', async (t) => {
  const all = connection(MESSAGE);
  const rewriter = createDskitRewriter({ header: headerOf(all), rewrite: 'keep', labelHeader: LABEL_HEADER });
  let out = 0;
  for (let i = 0; i < all.length; i++) {
    const result = rewriter.push(all.subarray(i, i + 1));
    if (result.ok) for (const bytes of result.value) out += bytes.length;
    if (out !== Math.max(0, i + 1 - 16)) t.fail(`${out} bytes out after ${i + 1}`);
  }
  t.equal(out, all.length - 16);
  t.strictSame(rewriter.push(Buffer.alloc(0)), { ok: true, value: [] }, 'an empty chunk changes nothing');
});

t.test('a connection that ends before its digest is truncated', async (t) => {
  const header = { labelAt: PREFIX.length, bodyAt: PREFIX.length };
  const full = headerOf(connection(labelled(MESSAGE)));
  for (const rewrite of ['keep', 'add', 'strip'] as const) {
    const ends = (all: Uint8Array, at: Pick<StreamHeader, 'labelAt' | 'bodyAt'>) =>
      rewritten(all, rewrite, [], at as StreamHeader);
    t.equal(ends(Buffer.alloc(0), header), 'dskit_truncated', 'nothing at all');
    t.equal(ends(PREFIX, header), 'dskit_truncated', 'the prefix alone');
    t.equal(ends(Buffer.concat([PREFIX, Buffer.alloc(15)]), header), 'dskit_truncated', 'one byte of digest missing');
    t.type(ends(Buffer.concat([PREFIX, Buffer.alloc(16)]), header), Buffer, 'complete');
  }
  const cut = connection(labelled(MESSAGE).subarray(0, 4));
  t.equal(rewritten(cut, 'strip', [], full), 'dskit_truncated', 'inside the label that was to be stripped');
});

t.test('a packet over the cap is refused as soon as it is, and stays refused', async (t) => {
  const header = headerOf(connection(MESSAGE));
  const options = { header, rewrite: 'add', labelHeader: LABEL_HEADER } as const;
  const exact = createDskitRewriter({ ...options, maxPacketBytes: MESSAGE.length });
  t.ok(exact.push(connection(MESSAGE)).ok);
  t.ok(exact.end().ok, 'the cap itself is allowed');
  const over = createDskitRewriter({ ...options, maxPacketBytes: MESSAGE.length - 1 });
  t.match(over.push(connection(MESSAGE)), { ok: false, reason: 'dskit_oversize' });
  t.match(over.push(Buffer.alloc(1)), { ok: false, reason: 'dskit_oversize' });
  t.match(over.end(), { ok: false, reason: 'dskit_oversize' });
});

t.test('10 MiB are the cap, and pass in bounded memory', async (t) => {
  const header = { labelAt: 2, bodyAt: 2 };
  const chunk = Buffer.alloc(64 * 1024, 3);
  const rewriter = createDskitRewriter({ header, rewrite: 'add', labelHeader: LABEL_HEADER });
  t.ok(rewriter.push(Buffer.from([1, 0])).ok);
  let out = 0;
  for (let i = 0; i < 160; i++) {
    const result = rewriter.push(chunk);
    if (result.ok) for (const bytes of result.value) out += bytes.length;
  }
  t.equal(out, 2 + LABEL_HEADER.length + 10 * 1024 * 1024 - 16);
  t.ok(rewriter.push(Buffer.alloc(16)).ok, 'and the digest');
  t.match(rewriter.push(Buffer.alloc(1)), { ok: false, reason: 'dskit_oversize' });
});

const packetBytes = fc.uint8Array({ maxLength: 120 }).filter((packet) => packet[0] !== 244);
const prefixBytes = fc
  .uint8Array({ maxLength: 255 })
  .map((address) => Uint8Array.from([1, address.length, ...address]));
const cuts = fc.array(fc.nat(600), { maxLength: 12 });
const rewrites = fc.constantFrom<Rewrite>('keep', 'add', 'strip');

t.test('property: any chunking gives the same bytes', async (t) => {
  const digest = fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined });
  const property = fc.property(
    packetBytes,
    prefixBytes,
    digest,
    rewrites,
    cuts,
    (packet, prefix, wrong, rewrite, at) => {
      const sent = rewrite === 'strip' ? labelled(packet) : packet;
      const all = connection(sent, wrong ?? md5(sent), prefix);
      const whole = rewritten(all, rewrite);
      return [at, EVERY_BYTE].every(
        (places) => Buffer.compare(rewritten(all, rewrite, places) as Buffer, whole as Buffer) === 0,
      );
    },
  );
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: right digests stay right, wrong ones stay wrong, and only packet and digest change', async (t) => {
  const damage = fc.option(fc.tuple(fc.nat(15), fc.integer({ min: 1, max: 255 })), { nil: undefined });
  const property = fc.property(packetBytes, prefixBytes, damage, rewrites, cuts, (packet, prefix, hit, rewrite, at) => {
    const sent = rewrite === 'strip' ? labelled(packet) : Buffer.from(packet);
    const expected = { keep: sent, add: labelled(packet), strip: Buffer.from(packet) }[rewrite];
    const digest = md5(sent);
    if (hit !== undefined) digest[hit[0]] = (digest[hit[0]] ?? 0) ^ hit[1];
    const out = rewritten(connection(sent, digest, prefix), rewrite, at) as Buffer;
    if (!out.subarray(0, -16).equals(Buffer.concat([prefix, expected]))) return false;
    return out.subarray(-16).equals(md5(expected)) === (hit === undefined);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: stripping what was added gives the connection back, wrong digests included', async (t) => {
  const digest = fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined });
  const property = fc.property(packetBytes, digest, cuts, cuts, (packet, wrong, there, back) => {
    const all = connection(packet, wrong ?? md5(packet));
    const added = rewritten(all, 'add', there) as Buffer;
    return all.equals(rewritten(added, 'strip', back) as Buffer);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});
