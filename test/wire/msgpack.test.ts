import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { decodeStruct, type Schema } from '../../src/wire/msgpack.ts';
import { encodeStruct } from '../../src/wire/msgpack-write.ts';
import { decodeText, encodeText } from '../../src/wire/text.ts';
import { decodeStruct as decodeNaively } from './msgpack-naive.ts';

const SCHEMA = {
  fields: { Small: 'u8', Port: 'u16', Seq: 'u32', Count: 'int', Flag: 'bool', Data: 'bytes', Name: 'text' },
} as const satisfies Schema;

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const read = (text: string) => decodeStruct(hex(text), 0, SCHEMA);
const key = (name: string) => (0xa0 | name.length).toString(16) + Buffer.from(name).toString('hex');
/** The value of a one-entry map's field, or the reason. */
const one = (name: keyof (typeof SCHEMA)['fields'], value: string) => {
  const result = read(`81 ${key(name)} ${value}`);
  return result.ok ? result.value.fields[name] : result.reason;
};

t.test('text and bytes as raw, str or bin of every width, or as an array of integers', async (t) => {
  for (const value of [
    'a26869',
    'd9026869',
    'da00026869',
    'db000000026869',
    'c4026869',
    'c500026869',
    'c6000000026869',
  ]) {
    t.equal(one('Name', value), 'hi', value);
    t.strictSame(one('Data', value), hex('6869'), value);
  }
  t.strictSame(one('Data', '92 68 cc69'), Uint8Array.of(0x68, 0x69));
  t.equal(one('Name', '92 68 69'), 'hi');
  t.equal(one('Data', '91 cd0100'), 'field_range');
});

t.test('integers of every width', async (t) => {
  for (const value of [
    '07',
    'cc07',
    'cd0007',
    'ce00000007',
    'cf0000000000000007',
    'd007',
    'd10007',
    'd200000007',
    'd30000000000000007',
  ]) {
    for (const name of ['Small', 'Port', 'Seq', 'Count'] as const) t.equal(one(name, value), 7, `${name} ${value}`);
  }
  t.equal(one('Count', 'ff'), -1);
  t.equal(one('Count', 'd0ff'), -1);
  t.equal(one('Count', 'd1ffff'), -1);
  t.equal(one('Count', 'd2ffffffff'), -1);
  t.equal(one('Count', 'd3ffffffffffffffff'), -1);
});

t.test('values outside their Go type refuse the struct', async (t) => {
  t.equal(one('Small', 'cd0100'), 'field_range');
  t.equal(one('Port', 'ce00010000'), 'field_range');
  t.equal(one('Seq', 'cf0000000100000000'), 'field_range');
  t.equal(one('Seq', 'ff'), 'field_range');
  t.equal(one('Count', 'cfffffffffffffffff'), 'field_range');
  t.equal(one('Seq', 'a131'), 'field_type');
  t.equal(one('Seq', 'ca3f800000'), 'field_type', 'a float');
  t.equal(one('Name', '07'), 'field_type');
  t.equal(one('Flag', '02'), 'field_type');
  t.equal(one('Data', 'c1'), 'field_type', 'the byte that msgpack never uses');
});

t.test('nil is zero, 0 and 1 are bools, absent fields are zero, the last of a repeated key counts', async (t) => {
  t.equal(one('Seq', 'c0'), 0);
  t.equal(one('Name', 'c0'), '');
  t.equal(one('Flag', '01'), true);
  t.equal(one('Flag', 'c2'), false);
  t.match(read('80'), { value: { fields: { Small: 0, Flag: false, Name: '' }, end: 1 } });
  t.match(read('c0'), { value: { fields: { Seq: 0 }, end: 1 } });
  t.match(read(`82 ${key('Seq')} 01 ${key('Seq')} 02`), { value: { fields: { Seq: 2 } } });
});

t.test('the array form of a struct, shorter and longer', async (t) => {
  t.match(read('92 05 cd1f0a'), { value: { fields: { Small: 5, Port: 7946, Seq: 0 }, end: 5 } });
  t.match(read('98 05 06 07 08 c3 c0 a161 ca3f800000'), {
    value: { fields: { Seq: 7, Flag: true, Name: 'a' }, end: 14 },
  });
});

t.test('unknown keys are skipped, whatever they hold; names of Object are unknown keys', async (t) => {
  for (const value of [
    '07',
    'c3',
    'a26869',
    '92 01 92 02 03',
    '81 a161 c0',
    'd40102',
    'd80100000000000000000000000000000000',
    'c7020a0b0c',
    'cb0000000000000000',
  ]) {
    t.match(read(`82 ${key('Other')} ${value} ${key('Seq')} 09`), { value: { fields: { Seq: 9 } } }, value);
  }
  t.match(read(`82 ${key('__proto__')} 07 ${key('toString')} 07`), { ok: true });
});

t.test('bounds', async (t) => {
  t.match(read(`81 ${key('Other')} ${'91'.repeat(40)} 07`), { ok: false, reason: 'depth_limit' });
  t.match(read('df ffffffff'), { ok: false, reason: 'entries_limit' });
  t.match(read(`81 ${key('Other')} dd ffffffff`), { ok: false, reason: 'entries_limit' });
  t.match(read('07'), { ok: false, reason: 'not_a_map', at: 0 });
  t.match(
    read(`81 ${key('Data')} db ffffffff 00`),
    { ok: false, reason: 'truncated', at: 11 + 0xffffffff },
    'nothing is allocated',
  );
});

t.test('every prefix of a struct is truncated, and says what it needs', async (t) => {
  const whole = encodeStruct(
    { Small: 1, Port: 500, Seq: 70_000, Count: 3, Flag: true, Data: hex('00'.repeat(40)), Name: 'n' },
    SCHEMA,
  );
  for (let size = 0; size < whole.length; size++) {
    const result = decodeStruct(whole.subarray(0, size), 0, SCHEMA);
    if (result.ok || result.reason !== 'truncated' || result.at <= size || result.at > whole.length)
      t.fail(`prefix ${size}`);
  }
  t.equal(decodeStruct(whole, 0, SCHEMA).ok, true);
});

t.test('refuses to write what does not fit', async (t) => {
  const zero = { Small: 0, Port: 0, Seq: 0, Count: 0, Flag: false, Data: hex(''), Name: '' };
  for (const wrong of [{ Small: 256 }, { Port: -1 }, { Seq: 2 ** 32 }, { Count: 1.5 }, { Port: Number.NaN }]) {
    t.throws(() => encodeStruct({ ...zero, ...wrong }, SCHEMA), RangeError, JSON.stringify(wrong));
  }
});

t.test('names that are no UTF-8 stay different and come back', async (t) => {
  t.not(decodeText(hex('61ff')), decodeText(hex('61fe')));
  t.equal(decodeText(Buffer.from('knoten-ü-😀')), 'knoten-ü-😀');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        (bytes) => Buffer.compare(encodeText(decodeText(bytes)), bytes) === 0,
      ),
      { numRuns: 500 },
    ),
  );
});

t.test('properties', async (t) => {
  const struct = fc.record({
    Small: fc.integer({ min: 0, max: 255 }),
    Port: fc.integer({ min: 0, max: 65_535 }),
    Seq: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    Count: fc.nat(),
    Flag: fc.boolean(),
    Data: fc.uint8Array({ maxLength: 300 }),
    Name: fc.string({ unit: 'binary', maxLength: 300 }),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(struct, (fields) => {
        const back = decodeStruct(encodeStruct(fields, SCHEMA), 0, SCHEMA);
        if (!back.ok) return false;
        const { Data, ...rest } = back.value.fields;
        const { Data: data, ...expected } = fields;
        return Buffer.compare(Data, data) === 0 && JSON.stringify(sorted(rest)) === JSON.stringify(sorted(expected));
      }),
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const result = decodeStruct(Uint8Array.of(0x85, ...bytes), 0, SCHEMA);
        return result.ok ? result.value.end <= bytes.length + 1 : result.reason.length > 0;
      }),
      { numRuns: 2_000 },
    ),
  );
});

function sorted(fields: object): [string, unknown][] {
  return Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
}

t.test('agrees with the plain reader on garbage, and on structs with one byte changed', async (t) => {
  const struct = fc.record({
    Small: fc.nat(255),
    Port: fc.nat(65_535),
    Seq: fc.nat(2 ** 31 - 1),
    Count: fc.nat(1_000),
    Flag: fc.boolean(),
    Data: fc.uint8Array({ maxLength: 40 }),
    Name: fc.oneof(fc.string({ maxLength: 40 }), fc.constant('é\u{1F600}')),
  });
  const mutated = fc.tuple(struct, fc.nat(), fc.nat(255), fc.nat(3)).map(([fields, at, byte, cut]) => {
    const bytes = Uint8Array.from(encodeStruct(fields, SCHEMA));
    bytes[at % bytes.length] = byte;
    return bytes.subarray(0, bytes.length - cut);
  });
  const garbage = fc.uint8Array({ maxLength: 60 }).map((bytes) => Uint8Array.of(0x87, ...bytes));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.oneof(mutated, garbage, fc.uint8Array({ maxLength: 60 })), fc.nat(3), (bytes, at) => {
        const [fast, naive] = [decodeStruct(bytes, at, SCHEMA), decodeNaively(bytes, at, SCHEMA)];
        return isDeepStrictEqual(fast, naive);
      }),
      { numRuns: 3_000 },
    ),
  );
});
