import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { createLzwDecoder, decodeLzw } from '../../src/wire/lzw.ts';
import { encodeLzw } from '../../src/wire/lzw-encode.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** 200,000 bytes whose alphabet grows, from a linear congruence that any language can repeat. */
function sample(): Uint8Array {
  const out = new Uint8Array(200_000);
  let x = 1;
  for (let i = 0; i < out.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = 0x61 + ((x >>> 28) % (1 + Math.floor(i / 20_000)));
  }
  return out;
}

t.test('200 kB as Go compress/lzw writes them', async (t) => {
  const input = sample();
  t.equal(sha256(input), 'bfbda81a535011d33f18f5880dbc40bc253eb5d81f476658b71f0f543c0f8370', 'input as in Go');
  const packed = encodeLzw(input);
  t.equal(packed.length, 66_776);
  t.equal(sha256(packed), 'c59407050b5aff71428efff9681fedb50dd2ad741a5c0ce63c5e4627ef181e40', 'packed as by Go');
  const unpacked = decodeLzw(packed, input.length);
  t.ok(unpacked.ok && same(unpacked.value, input));
});

t.test('a table that stays full, which Go reads too', async (t) => {
  const input = sample();
  const unpacked = decodeLzw(encodeLzw(input, false), input.length);
  t.ok(unpacked.ok && same(unpacked.value, input));
});

t.test('refuses what Go refuses', async (t) => {
  const packed = encodeLzw(Buffer.from('abcabcabcabc'));
  t.match(
    decodeLzw(packed.subarray(0, packed.length - 2), 100),
    { ok: false, reason: 'truncated' },
    'cut before its end',
  );
  t.match(decodeLzw(new Uint8Array(0), 100), { ok: false, reason: 'truncated' }, 'nothing');
  // Nine bits each: clear (256), then 300, which no entry has yet.
  t.match(
    decodeLzw(Uint8Array.of(0x00, 0x59, 0x02, 0x00), 100),
    { ok: false, reason: 'lzw_code' },
    'a code of the future',
  );
});

t.test('stops at its cap', async (t) => {
  const bomb = encodeLzw(new Uint8Array(1_000_000));
  t.ok(bomb.length < 5_000, 'the bomb is small');
  t.match(decodeLzw(bomb, 999_999), { ok: false, reason: 'expanded_limit' });
  t.equal(decodeLzw(bomb, 1_000_000).ok, true);
  t.match(decodeLzw(encodeLzw(Uint8Array.of(1)), 0), { ok: false, reason: 'expanded_limit' });
});

t.test('properties', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 20_000 }), fc.boolean(), (values, clears) => {
        const input = Uint8Array.from(values);
        const unpacked = decodeLzw(encodeLzw(input, clears), input.length);
        return unpacked.ok && same(unpacked.value, input);
      }),
      { numRuns: 60 },
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3_000 }), fc.nat(10_000), (bytes, max) => {
        const unpacked = decodeLzw(bytes, max);
        return unpacked.ok ? unpacked.value.length <= max : unpacked.reason.length > 0;
      }),
      { numRuns: 500 },
    ),
  );
});

t.test('in pieces: the same as at once, in any chunking', async (t) => {
  const inPieces = (packed: Uint8Array, cuts: readonly number[], maxBytes: number) => {
    const decoder = createLzwDecoder(maxBytes);
    const out: Uint8Array[] = [];
    let reason: string | undefined;
    let at = 0;
    for (const cut of [...cuts, packed.length]) {
      const chunk = packed.subarray(at, Math.max(at, cut));
      at = Math.max(at, cut);
      reason = decoder.push(chunk, (piece) => out.push(Uint8Array.from(piece)));
    }
    return { value: Buffer.concat(out), reason, ended: decoder.ended() };
  };
  const input = sample();
  const whole = inPieces(encodeLzw(input), [1, 2, 3, 50_000], input.length);
  t.ok(whole.ended && same(whole.value, input));
  const bomb = encodeLzw(new Uint8Array(1_000_000));
  t.equal(inPieces(bomb, [100], 999_999).reason, 'expanded_limit');
  t.equal(inPieces(encodeLzw(Uint8Array.of(1, 2, 3)), [1], 2).reason, 'expanded_limit', 'within one piece too');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 400 }),
          fc.uint8Array({ maxLength: 400 }).map((bytes) => encodeLzw(bytes)),
        ),
        fc.array(fc.nat(400), { maxLength: 6 }),
        (packed, cuts) => {
          const once = decodeLzw(packed, 10_000);
          const sorted = cuts.filter((cut) => cut <= packed.length).sort((a, b) => a - b);
          const { value, reason, ended } = inPieces(packed, sorted, 10_000);
          if (once.ok) return ended && reason === undefined && same(value, once.value);
          return once.reason === 'truncated' ? !ended && reason === undefined : reason === once.reason;
        },
      ),
      { numRuns: 1_000 },
    ),
  );
});
