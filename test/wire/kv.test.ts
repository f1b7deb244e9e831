import fc from 'fast-check';
import t from 'tap';
import { createKvReader, decodeKvPair, encodeKvPair, encodeKvRun, type KvPair, type KvRun } from '../../src/wire/kv.ts';
import { chunked, PROPERTY } from '../property.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));
const PAIR: KvPair = {
  key: 'collectors/ring',
  value: bytesOf('\x02\x04ab'),
  codec: 'ringDesc',
  deleted: true,
  updateTimeMs: 1_700_000_000_123,
};

/** Reads a run in the given chunks; pairs as text, so that they can be compared after their views are gone. */
function read(chunks: readonly Uint8Array[], maxPairBytes?: number): { pairs: string[]; run: KvRun } {
  const pairs: string[] = [];
  const reader = createKvReader((pair) => pairs.push(shown(pair)), maxPairBytes);
  for (const chunk of chunks) {
    const copy = Uint8Array.from(chunk);
    reader.push(copy);
    copy.fill(0xff);
  }
  return { pairs, run: reader.end() };
}
const shown = (pair: KvPair) => JSON.stringify({ ...pair, value: Buffer.from(pair.value).toString('hex') });

t.test('a pair as dskit writes it', async (t) => {
  const bytes = hex(
    `0a 0f ${Buffer.from('collectors/ring').toString('hex')} 12 04 02046162 1a 08 72696e6744657363 20 01 28 fbd095ffbc31`,
  );
  t.strictSame(decodeKvPair(bytes), { ok: true, value: PAIR });
  t.equal(Buffer.from(encodeKvPair(PAIR)).toString('hex'), Buffer.from(bytes).toString('hex'));
  const empty = { key: '', value: bytesOf(''), codec: '', deleted: false, updateTimeMs: 0 };
  t.strictSame(decodeKvPair(bytesOf('')), { ok: true, value: empty });
  t.match(decodeKvPair(hex('0a 01 61 0a 01 62 32 01 63')), { ok: true, value: { key: 'b' } }, 'the last counts');
  t.strictSame(decodeKvPair(hex('0a 02 61')), { ok: false, reason: 'protobuf_truncated', at: 2 });
  t.match(decodeKvPair(hex('22 01 01')), { ok: false, reason: 'protobuf_invalid' }, 'deleted as bytes');
});

t.test('a run of pairs, whole and cut short', async (t) => {
  const run = encodeKvRun([PAIR, { ...PAIR, key: 'other' }, { ...PAIR, value: bytesOf('') }]);
  const whole = read([run]);
  t.strictSame(whole.run, { pairs: 3, oversize: 0, failure: undefined });
  t.strictSame(whole.pairs[0], shown(PAIR));
  t.match(whole.pairs[1], /"key":"other"/);
  t.strictSame(read([]).run, { pairs: 0, oversize: 0, failure: undefined }, 'no state at all');
  t.strictSame(read([bytesOf('')]).run.failure, undefined);
  const first = 4 + encodeKvPair(PAIR).length;
  const truncated = (at: number) => ({ ok: false, reason: 'truncated', at });
  t.strictSame(read([run.subarray(0, first + 2)]).run, { pairs: 1, oversize: 0, failure: truncated(first + 4) });
  t.strictSame(read([run.subarray(0, first - 1)]).run, { pairs: 0, oversize: 0, failure: truncated(first) });
});

t.test('reading ends at the first pair that dskit would not read', async (t) => {
  const bad = Buffer.concat([encodeKvRun([PAIR]), hex('00000002 0aff'), encodeKvRun([PAIR])]);
  for (const chunks of [[bad], chunked(bad, [...bad.keys()])]) {
    const { pairs, run } = read(chunks);
    t.equal(pairs.length, 1);
    t.match(run, {
      pairs: 1,
      oversize: 0,
      failure: { ok: false, reason: 'protobuf_truncated', at: encodeKvRun([PAIR]).length + 5 },
    });
  }
});

t.test('pairs over the cap are passed over, and cost nothing', async (t) => {
  const big = { ...PAIR, value: Buffer.alloc(500) };
  const run = encodeKvRun([PAIR, big, PAIR, big]);
  for (const chunks of [[run], chunked(run, [...run.keys()]), chunked(run, [50, 51, 300])]) {
    const { pairs, run: end } = read(chunks, 100);
    t.strictSame(pairs, [shown(PAIR), shown(PAIR)]);
    t.strictSame(end, { pairs: 2, oversize: 2, failure: undefined });
  }
  const cut = read([run.subarray(0, -1)], 100);
  t.strictSame(cut.run, { pairs: 2, oversize: 2, failure: { ok: false, reason: 'truncated', at: run.length } });
  const before = process.memoryUsage().arrayBuffers;
  const reader = createKvReader(() => t.fail('nothing is whole'));
  reader.push(hex('01400000'));
  for (let i = 0; i < 100; i++) reader.push(Buffer.alloc(10));
  t.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024, 'an announced length reserves nothing');
  t.match(reader.end(), { failure: { reason: 'truncated', at: 0x0140_0004 } });
});

t.test('after a pair that cannot be read nothing is kept', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const reader = createKvReader(() => t.fail('no pair is whole'));
  reader.push(hex('00000002 0aff'));
  const piece = Buffer.alloc(64 * 1024);
  for (let i = 0; i < 100; i++) reader.push(piece);
  t.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
  t.match(reader.end(), { pairs: 0, failure: { reason: 'protobuf_truncated' } });
});

t.test('any chunking gives the same pairs', async (t) => {
  const pair = fc.record({
    key: fc.string({ maxLength: 20 }),
    value: fc.uint8Array({ maxLength: 120 }),
    codec: fc.constantFrom('ringDesc', 'partitionRingDesc', ''),
    deleted: fc.boolean(),
    updateTimeMs: fc.maxSafeInteger(),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (pairs, cuts) => {
        const bytes = encodeKvRun(pairs);
        const got = read(chunked(bytes, cuts));
        return got.run.failure === undefined && got.pairs.join() === pairs.map(shown).join();
      }),
      PROPERTY,
    ),
  );
});

t.test('total on garbage, the same in any chunking', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.array(fc.nat(), { maxLength: 6 }), (bytes, cuts) => {
        decodeKvPair(bytes);
        const small = Uint8Array.from(bytes, (byte, i) => (i % 8 < 3 ? 0 : byte & 31));
        return [bytes, small].every((run) => {
          const [whole, pieces] = [read([run], 24), read(chunked(run, cuts), 24)];
          return JSON.stringify(whole) === JSON.stringify(pieces);
        });
      }),
      PROPERTY,
    ),
  );
});
