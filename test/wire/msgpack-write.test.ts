import t from 'tap';
import { decodeStruct } from '../../src/wire/msgpack.ts';
import { encodeStruct } from '../../src/wire/msgpack-write.ts';

const SCHEMA = { fields: { Buf: 'bytes' } } as const;

t.test('byte strings are written as raw of the shortest head, and read back', async (t) => {
  const heads: readonly [number, string][] = [
    [0, 'c0'],
    [31, 'bf'],
    [32, 'da0020'],
    [65_535, 'daffff'],
    [65_536, 'db00010000'],
    [100_000, 'db000186a0'],
  ];
  for (const [size, head] of heads) {
    const bytes = new Uint8Array(size).fill(7);
    const written = encodeStruct({ Buf: bytes }, SCHEMA);
    t.equal(Buffer.from(written).toString('hex', 5, 5 + head.length / 2), head, `${size} bytes`);
    t.equal(written.length, 5 + head.length / 2 + size);
    const back = decodeStruct(written, 0, SCHEMA);
    t.ok(back.ok && Buffer.from(back.value.fields.Buf).equals(bytes), 'read back');
  }
});
