import fc from 'fast-check';
import t from 'tap';
import { TCP_HELD_MAX_BYTES, TCP_HELD_SEGMENTS_MAX, TCP_WINDOW_MAX_BYTES } from '../../../src/wire/capture/limits.ts';
import { createTcpSide } from '../../../src/wire/capture/tcp-side.ts';
import { PROPERTY } from '../../property.ts';

/** A side whose output is text; a gap is `<bytes>`. */
function side(start = 1_000) {
  let out = '';
  const tcp = createTcpSide({
    data: (bytes) => {
      out += Buffer.from(bytes).toString('latin1');
    },
    gap: (missing) => {
      out += `<${missing}>`;
    },
  });
  tcp.start(start);
  const put = (offset: number, text: string, missing = 0) =>
    tcp.segment((start + offset) | 0, Buffer.from(text, 'latin1'), missing);
  return { tcp, put, out: () => out };
}

t.test('in order, out of order, again, overlapping', async (t) => {
  const cases: readonly [string, readonly (readonly [number, string])[], string][] = [
    [
      'in order',
      [
        [0, 'abc'],
        [3, 'def'],
      ],
      'abcdef',
    ],
    [
      'out of order',
      [
        [3, 'def'],
        [6, 'g'],
        [0, 'abc'],
      ],
      'abcdefg',
    ],
    [
      'a retransmission',
      [
        [0, 'abc'],
        [0, 'abc'],
        [3, 'd'],
      ],
      'abcd',
    ],
    [
      'a longer retransmission',
      [
        [0, 'abc'],
        [0, 'abcde'],
      ],
      'abcde',
    ],
    [
      'an overlap: the first bytes count',
      [
        [0, 'abc'],
        [1, 'XYd'],
      ],
      'abcd',
    ],
    [
      'early ones twice, and longer',
      [
        [3, 'de'],
        [3, 'de'],
        [3, 'def'],
        [0, 'abc'],
      ],
      'abcdef',
    ],
    [
      'early ones that overlap',
      [
        [5, 'fgh'],
        [3, 'deXX'],
        [0, 'abc'],
      ],
      'abcdeXXh',
    ],
    [
      'old ones behind the window',
      [
        [0, 'abcdef'],
        [2, 'c'],
      ],
      'abcdef',
    ],
  ];
  for (const [name, segments, expected] of cases) {
    for (const start of [1_000, -3, 0x7ffffffe, 0]) {
      const { put, out } = side(start);
      for (const [offset, text] of segments) t.ok(put(offset, text));
      t.equal(out(), expected, `${name}, from ${start}`);
    }
  }
});

t.test('holes become gaps at the end, or when too much waits', async (t) => {
  const one = side();
  one.put(0, 'abc');
  one.put(5, 'f');
  one.put(8, 'i');
  t.equal(one.tcp.heldBytes(), 2);
  one.tcp.flush();
  t.equal(one.out(), 'abc<2>f<2>i');
  t.equal(one.tcp.heldBytes(), 0);
  const large = side();
  large.put(1, 'x'.repeat(TCP_HELD_MAX_BYTES));
  t.equal(large.out(), '');
  large.put(TCP_HELD_MAX_BYTES + 1, 'y');
  t.match(large.out(), /^<1>x+y$/);
  const many = side();
  for (let i = 0; i <= TCP_HELD_SEGMENTS_MAX; i++) many.put(2 * i + 1, 'x');
  t.equal(many.out(), '<1>x');
});

t.test('bytes that a snapshot length left out', async (t) => {
  const { put, out } = side();
  put(0, 'abc', 3);
  put(6, 'g');
  put(6, 'g');
  t.equal(out(), 'abc<3>g');
  const again = side();
  again.put(0, 'abcd');
  again.put(0, 'ab', 5);
  again.put(7, 'h');
  t.equal(again.out(), 'abcd<3>h', 'of what was seen before nothing is missing');
  const early = side();
  early.put(3, 'd', 2);
  early.put(0, 'abc');
  t.equal(early.out(), 'abcd<2>');
});

t.test('a FIN ends it, when everything before it is there', async (t) => {
  const { tcp, put } = side();
  tcp.finish(1_006);
  tcp.finish(1_001);
  t.notOk(tcp.finished());
  put(3, 'def');
  t.notOk(tcp.finished());
  put(0, 'abc');
  t.ok(tcp.finished());
  const lost = side();
  lost.tcp.finish(1_004);
  lost.put(0, 'ab');
  lost.tcp.flush();
  t.equal(lost.out(), 'ab<2>', 'what came before a FIN and is not there is a gap');
  t.ok(lost.tcp.finished());
});

t.test('what is far outside the window is refused', async (t) => {
  const { tcp, put, out } = side();
  t.notOk(put(TCP_WINDOW_MAX_BYTES + 1, 'x'));
  t.notOk(put(-TCP_WINDOW_MAX_BYTES - 1, 'x'));
  tcp.flush();
  t.equal(out(), '');
  t.strictSame([tcp.initial(), tcp.started()], [1_000, true]);
});

t.test('property: segments in any order, repeated and overlapping, give the bytes', async (t) => {
  const piece = fc.record({ at: fc.nat(199), size: fc.integer({ min: 1, max: 60 }) });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.integer(), (pieces, start) => {
        const bytes = Buffer.from(Array.from({ length: 200 }, (_, i) => i));
        const { tcp, put, out } = side(start | 0);
        for (const { at, size } of pieces) put(at, bytes.subarray(at, at + size).toString('latin1'));
        const whole = bytes.toString('latin1');
        if (!whole.startsWith(out())) return false;
        // The missing pieces come last: everything is there, once.
        for (let at = 0; at < 200; at += 50) put(at, bytes.subarray(at, at + 50).toString('latin1'));
        return out() === whole && tcp.heldBytes() === 0;
      }),
      PROPERTY,
    ),
  );
});

t.test('the same place once more, cut off further on', async (t) => {
  const missed: number[] = [];
  const tcp = createTcpSide({ data: () => undefined, gap: (missing) => missed.push(missing) });
  tcp.start(5);
  tcp.segment(15, new Uint8Array(1), 0);
  tcp.segment(15, new Uint8Array(0), 2);
  tcp.flush();
  t.strictSame(missed, [10, 1], 'the hole, and what the second says beyond the first');
});

t.test('property: whatever comes, data and gaps together are what the numbers span', async (t) => {
  const piece = fc.record({ at: fc.nat(300), size: fc.nat(40), missing: fc.nat(9) });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        let total = 0;
        const tcp = createTcpSide({
          data: (bytes) => {
            total += bytes.length;
          },
          gap: (missing) => {
            total += missing;
            if (missing <= 0) throw new Error('an empty gap');
          },
        });
        tcp.start(5);
        for (const { at, size, missing } of pieces) tcp.segment(5 + at, new Uint8Array(size), missing);
        tcp.flush();
        const end = Math.max(
          0,
          ...pieces.map(({ at, size, missing }) => (size + missing === 0 ? 0 : at + size + missing)),
        );
        return total === end || pieces.some(({ size, missing }) => size + missing === 0);
      }),
      PROPERTY,
    ),
  );
});
