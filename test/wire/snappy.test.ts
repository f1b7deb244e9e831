import fc from 'fast-check';
import t from 'tap';
import { COMPRESS_ALGORITHM, encodeCompress, openCompress } from '../../src/wire/compress.ts';
import { decodeSnappy, encodeSnappy } from '../../src/wire/snappy.ts';

const MAX = 1_000_000;
const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

/** Blocks and what golang/snappy v1.0.0 Decode makes of them. */
const BLOCKS: readonly [string, string, string | undefined][] = [
  ['nothing claimed, nothing there', '00', ''],
  ['a literal', '05 10 68656c6c6f', '68656c6c6f'],
  ['a literal of one byte with a one-byte length', '01 f0 00 61', '61'],
  ['a literal with a four-byte length', '01 fc 00000000 61', '61'],
  ['copy1 over its own output', '06 00 61 05 01', '616161616161'],
  ['copy2', '04 04 6162 06 0200', '61626162'],
  ['copy4', '04 04 6162 07 02000000', '61626162'],
  ['no length', '', undefined],
  ['a length that does not end', 'ffffffffffffffffffff', undefined],
  ['a length over 32 bits', 'ffffffff1f', undefined],
  ['a literal that is cut', '05 10 6865', undefined],
  ['a literal length that is cut', '05 f0', undefined],
  ['more output than claimed', '01 04 6162', undefined],
  ['less output than claimed', '05 04 6162', undefined],
  ['offset 0', '06 00 61 05 00', undefined],
  ['a copy from before the start', '06 00 61 05 02', undefined],
  ['a copy that is cut', '06 00 61 05', undefined],
  ['a copy beyond the claim', '02 00 61 05 01', undefined],
  ['trailing elements beyond the claim', '01 00 61 00 62', undefined],
];

t.test('reads what Go reads, and refuses what Go refuses', async (t) => {
  for (const [name, block, expected] of BLOCKS) {
    const decoded = decodeSnappy(bytes(block), MAX);
    if (expected === undefined) t.match(decoded, { ok: false, reason: 'snappy_corrupt' }, name);
    else t.equal(decoded.ok && Buffer.from(decoded.value).toString('hex'), expected, name);
  }
});

t.test('a claim is checked before it is believed', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  t.match(decodeSnappy(bytes('ffffffff0f 00 61'), MAX), { ok: false, reason: 'expanded_limit' });
  t.ok(process.memoryUsage().arrayBuffers - before < MAX, 'nothing of it was allocated');
});

t.test('round trip, and garbage', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3_000 }), fc.integer({ min: 1, max: 9 }), (part, times) => {
        const input = Buffer.concat(new Array<Uint8Array>(times).fill(part));
        const out = decodeSnappy(encodeSnappy(input), input.length);
        return out.ok && input.equals(out.value);
      }),
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (block) => {
        const out = decodeSnappy(block, 4_096);
        return out.ok ? out.value.length <= 4_096 : ['snappy_corrupt', 'expanded_limit'].includes(out.reason);
      }),
      { numRuns: 2_000 },
    ),
  );
});

t.test('as a compress message', async (t) => {
  const message = Buffer.from('\x08hello hello hello hello');
  for (const algorithm of [COMPRESS_ALGORITHM.lzw, COMPRESS_ALGORITHM.snappy]) {
    const opened = openCompress(encodeCompress(message, algorithm), 100);
    t.ok(opened.ok && message.equals(opened.value), `algorithm ${algorithm}`);
    t.match(openCompress(encodeCompress(message, algorithm), 10), { ok: false, reason: 'expanded_limit' });
    t.match(openCompress(encodeCompress(new Uint8Array(0), algorithm), 10), { ok: false, reason: 'empty' });
  }
});
