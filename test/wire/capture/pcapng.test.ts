import fc from 'fast-check';
import t from 'tap';
import { INTERFACES_MAX } from '../../../src/wire/capture/limits.ts';
import { chunked, PROPERTY } from '../../property.ts';
import { pcapng, readAll } from './build.ts';

const BYTES = Buffer.from('frame');
const LATER_US = 1_795_358_580_123_456;

for (const big of [false, true]) {
  const ng = pcapng(big);
  const start = [ng.section(), ng.interface(1)];

  t.test(`${big ? 'big' : 'little'}-endian: every kind of packet, times, unknown blocks`, async (t) => {
    const nano = ng.interface(101, 3, [
      ng.option(2, Buffer.from('eth0')),
      ng.option(9, Uint8Array.of(9)),
      ng.option(14, big ? ng.words(0, 60) : ng.words(60, 0)),
      ng.option(0, new Uint8Array(0)),
      ng.option(9, Uint8Array.of(3)),
    ]);
    const binary = ng.interface(113, 0, [ng.option(9, Uint8Array.of(0x80 | 10))]);
    const file = Buffer.concat([
      ...start,
      ng.enhanced(0, LATER_US, BYTES, 900),
      ng.block(0x0bad, Buffer.alloc(200)),
      nano,
      ng.enhanced(1, 5e9, BYTES),
      ng.obsolete(0, 2_000, BYTES),
      ng.simple(4, Buffer.from('abcd')),
      binary,
      ng.enhanced(2, 2_048, BYTES),
      ng.section(),
      ng.interface(228, 3),
      ng.simple(900, Buffer.from('abc')),
    ]);
    const { frames, failure, format, cutBytes } = readAll([file]);
    t.strictSame([failure, format, cutBytes], [undefined, 'pcapng', 0]);
    t.match(frames, [
      { number: 1, linkType: 1, atMs: LATER_US / 1e3, wireBytes: 900 },
      { number: 2, linkType: 101, atMs: 65_000, wireBytes: 5 },
      { number: 3, linkType: 1, atMs: 2 },
      { number: 4, linkType: 1, atMs: undefined, wireBytes: 4 },
      { number: 5, linkType: 113, atMs: 2_000 },
      { number: 6, linkType: 228, wireBytes: 900 },
    ]);
    t.strictSame(
      frames.map(({ bytes }) => Buffer.from(bytes).toString()),
      ['frame', 'frame', 'frame', 'abcd', 'frame', 'abc'],
    );
  });

  t.test(
    `${big ? 'big' : 'little'}-endian: a time offset may be negative; options cut short are left out`,
    async (t) => {
      const offset = ng.words(0xffffffff, 0xffffffff);
      const cut = Buffer.concat([ng.option(14, offset), Buffer.from(big ? [0, 9, 0, 99] : [9, 0, 99, 0])]);
      const file = Buffer.concat([ng.section(), ng.interface(1, 0, [cut]), ng.enhanced(0, 5_000_000, BYTES)]);
      t.match(readAll([file]).frames, [{ atMs: 4_000 }]);
    },
  );

  t.test(`${big ? 'big' : 'little'}-endian: what is broken is told with its place`, async (t) => {
    const prefix = Buffer.concat(start);
    const at = prefix.length;
    const cases: readonly [string, Buffer, string, number][] = [
      ['no mark', Buffer.concat([ng.section().subarray(0, 8), Buffer.alloc(20)]), 'byte_order', 0],
      ['length not in words', Buffer.concat([prefix, ng.words(6, 33, 0)]), 'block_length', at],
      ['shorter than its fields', Buffer.concat([prefix, ng.words(6, 16, 0, 16)]), 'block_length', at],
      ['an unknown block of nothing', Buffer.concat([prefix, ng.words(77, 8, 0)]), 'block_length', at],
      ['longer than any', Buffer.concat([prefix, ng.words(6, 0x7ffffffc, 0)]), 'block_length', at],
      ['two lengths', Buffer.concat([prefix, ng.words(6, 32, 0, 0, 0, 0, 0, 36)]), 'block_length', at],
      ['more captured than there is', Buffer.concat([prefix, ng.words(6, 32, 0, 0, 0, 1, 1, 32)]), 'block_length', at],
      ['of interface 7', Buffer.concat([prefix, ng.enhanced(7, 0, BYTES)]), 'interface_unknown', at],
      ['simple without interface', Buffer.concat([ng.section(), ng.simple(1, BYTES)]), 'interface_unknown', 28],
    ];
    for (const [name, file, reason, place] of cases) t.match(readAll([file]), { failure: { reason, at: place } }, name);
    const many = Array.from({ length: INTERFACES_MAX }, () => ng.interface(1));
    t.match(readAll([Buffer.concat([...start, ...many])]), { failure: { reason: 'interfaces_limit' } });
    const whole = Buffer.concat([prefix, ng.enhanced(0, 0, BYTES)]);
    t.match(readAll([whole.subarray(0, -1)]), { failure: undefined, cutBytes: 39, frames: [] });
  });
}

t.test('property: any chunking gives the same frames, and garbage never more than a reason', async (t) => {
  const ng = pcapng(false);
  const packets = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => ng.enhanced(0, 5, bytes)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => ng.block(99, bytes)),
      fc.uint8Array({ maxLength: 40 }),
    ),
    { maxLength: 6 },
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(packets, fc.array(fc.nat(600)), (blocks, cuts) => {
        const file = Buffer.concat([ng.section(), ng.interface(1), ...blocks]);
        const one = readAll([file]);
        const many = readAll(chunked(file, cuts));
        return JSON.stringify(one) === JSON.stringify(many);
      }),
      PROPERTY,
    ),
  );
});
