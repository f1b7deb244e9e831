import fc from 'fast-check';
import t from 'tap';
import { encodeProto, encodeVarint, ProtoReader } from '../../src/wire/protobuf.ts';
import { PROPERTY } from '../property.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const at = (bytes: Uint8Array) => {
  const reader = new ProtoReader(bytes);
  reader.next();
  return reader;
};

t.test('the examples of the protobuf encoding guide', async (t) => {
  const number = at(hex('08 96 01'));
  t.strictSame([number.field, number.int64(), number.int32(), number.bool()], [1, 150, 150, true]);
  const string = at(hex('12 07 74 65 73 74 69 6e 67'));
  t.strictSame([string.field, string.text(), string.valueAt], [2, 'testing', 2]);
  const inner = at(hex('1a 03 08 96 01')).message();
  t.ok(inner.next());
  t.equal(inner.int64(), 150);
  t.notOk(inner.next());
  t.equal(at(hex('32 06 03 8e 02 9e a7 05')).countPacked(), 3);
  t.equal(at(hex('30 03')).countPacked(), 1, 'not packed');
  t.equal(
    Buffer.from(
      encodeProto([
        [1, 150],
        [2, 'testing'],
      ]),
    ).toString('hex'),
    '089601120774657374696e67',
  );
});

t.test('numbers: 64 bits, signs, and what does not fit', async (t) => {
  t.equal(at(hex('08 ffffffffffffffffff01')).int64(), -1);
  t.equal(at(hex('08 ffffffffffffffffff01')).int32(), -1);
  t.equal(at(hex('08 80808080808080808001')).int64(), -(2 ** 63));
  t.equal(at(hex('08 ffffffff0f')).int64(), 2 ** 32 - 1);
  t.equal(at(hex('08 ffffffff0f')).int32(), -1, 'an enum keeps the low half');
  t.equal(at(hex('08 8080808010')).int32(), 0);
  t.equal(at(hex('08 8080808010')).bool(), true, 'and a bool looks at both');
  t.equal(at(hex('08 00')).bool(), false);
  t.equal(at(hex('08 ffffffffffffffffff7e')).int64(), 2 ** 63 - 1, 'bits beyond 64 are dropped');
  t.equal(at(hex('08 80808080808080808002')).bool(), false, 'so that nothing is left of this one');
  t.match(at(hex('08 ffffffffffffffffffff01')).failure, { reason: 'protobuf_invalid', at: 1 }, 'eleven bytes');
  t.equal(at(hex('8a8080808001 01 61')).field, 1, 'a field number keeps its low 32 bits');
});

t.test('fields of other numbers and types are skipped; groups and field 0 are not', async (t) => {
  const reader = new ProtoReader(hex('09 0102030405060708 15 01020304 1a 01 ff 20 7f 28 01'));
  const fields: number[] = [];
  while (reader.next()) fields.push(reader.field);
  t.strictSame([fields, reader.failure], [[1, 2, 3, 4, 5], undefined]);
  for (const bad of ['0b 0c', '0c', '0e', '0f', '00 01', '02 00', 'fa ff ff ff 7f 00']) {
    t.match(at(hex(bad)).failure, { reason: 'protobuf_invalid', at: 0 }, bad);
  }
});

t.test('what is cut short', async (t) => {
  for (const cut of [
    '08',
    '08 80',
    '0a',
    '0a 80',
    '0a 02 61',
    '09 01020304050607',
    '0d 010203',
    '0a ffffffffffffffffff01',
  ]) {
    const reader = new ProtoReader(hex(cut));
    t.notOk(reader.next(), cut);
    t.equal(reader.failure?.reason, 'protobuf_truncated', cut);
    t.notOk(reader.next(), 'and it stays so');
  }
});

t.test('a field of another wire type fails the message', async (t) => {
  const reads: ((reader: ProtoReader) => unknown)[] = [
    (reader) => reader.bytes().length,
    (reader) => reader.text().length,
    (reader) => Number(reader.message().next()),
  ];
  for (const read of reads) {
    const reader = at(hex('08 01 08 01'));
    t.equal(read(reader), 0);
    t.match(reader.failure, { reason: 'protobuf_invalid' });
    t.notOk(reader.next());
  }
  for (const read of [
    (reader: ProtoReader) => reader.int64(),
    (reader: ProtoReader) => reader.int32(),
    (reader: ProtoReader) => Number(reader.bool()),
  ]) {
    const reader = at(hex('0a 01 05'));
    t.equal(read(reader), 0);
    t.match(reader.failure, { reason: 'protobuf_invalid' });
  }
  t.match(at(hex('0d 01020304')).countPacked(), 0);
});

t.test('packed runs: the last number may reach beyond, as in gogo', async (t) => {
  const reader = new ProtoReader(hex('32 02 01 80 05 10 07'));
  t.ok(reader.next());
  t.equal(reader.countPacked(), 2);
  t.ok(reader.next(), 'and the next field starts behind it');
  t.strictSame([reader.field, reader.int32(), reader.failure], [2, 7, undefined]);
  t.equal(at(hex('32 00')).countPacked(), 0);
  for (const [cut, reason] of [
    ['32 02 01 80', 'protobuf_truncated'],
    ['32 0c ffffffffffffffffffffff01', 'protobuf_invalid'],
  ] as const) {
    const broken = at(hex(cut));
    broken.countPacked();
    t.match(broken.failure, { reason });
    t.notOk(broken.next());
  }
});

t.test('entries of a map: wire types are not looked at, values may reach beyond the entry, as in gogo', async (t) => {
  const entryOf = (text: string) => {
    const outer = at(hex(text));
    return { outer, entry: outer.entry('bytes', 'bytes') };
  };
  const plain = entryOf('0a 06 0a 01 61 12 01 62').entry;
  t.ok(plain.next() && plain.text() === 'a' && plain.next() && plain.text() === 'b');
  t.notOk(plain.next());
  const typeless = entryOf('0a 03 08 01 61').entry;
  t.ok(typeless.next());
  t.equal(typeless.text(), 'a', 'the tag says varint, gogo reads a length');
  const { outer, entry } = entryOf('0a 02 0a 03 61 62 63');
  t.ok(entry.next());
  t.equal(entry.text(), 'abc');
  t.notOk(entry.next());
  t.equal(entry.failure, undefined);
  t.notOk(outer.next(), 'and the message goes on behind the entry');
  t.match(outer.failure, { reason: 'protobuf_truncated', at: 5 }, 'where it may make no sense');
  const long = entryOf('0a 02 0a 04 61 62 63').entry;
  t.notOk(long.next());
  t.match(long.failure, { reason: 'protobuf_truncated' }, 'not beyond the message');
  const unknown = entryOf('0a 03 1a 02 61 62').entry;
  t.notOk(unknown.next());
  t.match(unknown.failure, { reason: 'protobuf_truncated' }, 'an unknown field has to keep inside');
  const numbers = at(hex('0a 04 08 05 10 07')).entry('number', 'number');
  t.ok(numbers.next() && numbers.int32() === 5 && numbers.next() && numbers.int64() === 7);
  const none = at(hex('08 01')).entry('bytes', 'bytes');
  t.notOk(none.next(), 'no entry in a number');
});

t.test('a reader keeps inside its part of the bytes', async (t) => {
  const bytes = hex('ff 08 01 10 02');
  const reader = new ProtoReader(bytes, 1, 3);
  t.ok(reader.next());
  t.notOk(reader.next());
  t.equal(reader.failure, undefined);
  const cut = new ProtoReader(bytes, 1, 2);
  t.notOk(cut.next());
  t.match(cut.failure, { reason: 'protobuf_truncated', at: 2 });
  const long = new ProtoReader(hex('0a 02 61 62'), 0, 3);
  t.notOk(long.next());
  t.match(long.failure, { reason: 'protobuf_truncated', at: 2 }, 'a length that ends after the part');
});

t.test('what is written comes back; zero and empty are left out', async (t) => {
  t.equal(
    encodeProto([
      [1, 0],
      [2, ''],
      [3, new Uint8Array(0)],
      [4, false],
    ]).length,
    0,
  );
  t.equal(Buffer.from(encodeVarint(-1)).toString('hex'), 'ffffffffffffffffff01');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 29 - 1 }),
        fc.maxSafeInteger().filter((n) => n !== 0),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        (field, number, bytes) => {
          const reader = new ProtoReader(
            encodeProto([
              [field, number],
              [field, bytes],
              [field, true],
            ]),
          );
          const first = reader.next() && reader.field === field && reader.int64() === number;
          const second = reader.next() && Buffer.from(bytes).equals(reader.bytes());
          return first && second && reader.next() && reader.bool() && !reader.next() && reader.failure === undefined;
        },
      ),
      PROPERTY,
    ),
  );
});

t.test('total on garbage, and never longer than its bytes', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const reader = new ProtoReader(bytes);
        let steps = 0;
        while (reader.next()) {
          steps++;
          reader.countPacked();
        }
        return steps <= bytes.length / 2;
      }),
      PROPERTY,
    ),
  );
});
