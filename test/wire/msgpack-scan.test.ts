import fc from 'fast-check';
import t from 'tap';
import { MESSAGE_SCHEMAS } from '../../src/wire/messages.ts';
import { decodeStruct } from '../../src/wire/msgpack.ts';
import { scanPlan } from '../../src/wire/msgpack-plan.ts';
import {
  bytesLength,
  integerAt,
  isList,
  rawStart,
  SCAN,
  scanStruct,
  skipValue,
  structHead,
} from '../../src/wire/msgpack-scan.ts';
import { encodeStruct } from '../../src/wire/msgpack-write.ts';
import { PROPERTY } from '../property.ts';

const ALIVE = scanPlan(MESSAGE_SCHEMAS.alive);
const NAMES = Object.keys(MESSAGE_SCHEMAS.alive.fields);
const unhex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const hexOf = (value: string) => Buffer.from(value).toString('hex');
const nameOf = (name: string) => (0xa0 | name.length).toString(16) + hexOf(name);

/** The fields that a scan shows, as `name=hex of the value`, and its answer. */
function scan(text: string, end?: number): { readonly fields: string[]; readonly answer: number } {
  const bytes = unhex(text);
  const fields: string[] = [];
  const answer = scanStruct(
    bytes,
    0,
    end ?? bytes.length,
    ALIVE,
    (field, all, at, to) => {
      fields.push(`${NAMES[field]}=${Buffer.from(all.subarray(at, to)).toString('hex')}`);
      return 0;
    },
    undefined,
  );
  return { fields, answer };
}

t.test('a struct as members write it', async (t) => {
  const text = `83 ${nameOf('Node')} a162 ${nameOf('Vsn')} a6010502000000 ${nameOf('Port')} cd1f0a`;
  const { fields, answer } = scan(`${text} ff`);
  t.strictSame(fields, ['Node=a162', 'Vsn=a6010502000000', 'Port=cd1f0a']);
  t.equal(answer, unhex(text).length, 'ends where the struct does');
});

t.test('a struct by position, and nil', async (t) => {
  t.strictSame(scan('93 07 a162 c4020102').fields, ['Incarnation=07', 'Node=a162', 'Addr=c4020102']);
  t.equal(scan('98 07 a162 a0 07 a0 a6010502000000 05 91 06').answer, 17, 'further positions are skipped');
  t.equal(scan('9f07').answer, SCAN.truncated);
  t.strictSame(scan('c0'), { fields: [], answer: 1 });
});

t.test('what only one go-msgpack takes is taken', async (t) => {
  const old = `e5${'41'.repeat(69)}`;
  t.strictSame(scan(`82 ${old} 05 ${nameOf('Port')} 07`).fields, ['Port=07'], 'a key of 69 bytes by a negative number');
  t.strictSame(scan(`82 c0 05 ${nameOf('Port')} 07`).fields, ['Port=07'], 'nil for a key');
  t.strictSame(scan(`81 ${nameOf('Node')} ${old}`).fields, [`Node=${old}`], 'and a text by it');
  t.strictSame(scan(`81 c40456736e00 05`).fields, [], 'a bin key of another name');
  t.strictSame(scan(`81 c40356736e a101`).fields, ['Vsn=a101'], 'a bin key');
  t.strictSame(scan(`81 d90356736e a101`).fields, ['Vsn=a101'], 'a str8 key');
  t.strictSame(scan(`81 da000356736e a101`).fields, ['Vsn=a101'], 'a raw16 key');
  t.equal(scan(`81 93 56 73 6e a101`).answer, SCAN.disguised, 'a key as a list of letters');
  t.equal(scan(`81 93 cc56 d173 6e a101`.replace('d173', 'd10073')).answer, SCAN.disguised, 'written wide');
  t.equal(scan(`81 93 56 73 6f a101`).answer, 7, 'of letters that spell nothing');
  t.equal(scan(`81 dc000d ${'41'.repeat(13)} a101`).answer, 19, 'and of more than any name has');
});

t.test('a field twice is disguised', async (t) => {
  t.equal(scan(`82 ${nameOf('Vsn')} a101 ${nameOf('Vsn')} a0`).answer, SCAN.disguised);
  t.equal(scan('82 a178 01 a178 02').answer, 7, 'an unknown one is not');
});

t.test('kinds that go-msgpack refuses', async (t) => {
  for (const value of ['a101', 'c3', '91 01', 'ca00000000', 'd40000']) {
    t.equal(scan(`81 ${nameOf('Port')} ${value}`).answer, SCAN.invalid, `a number as ${value}`);
  }
  for (const value of ['07', 'c3', 'cd0001']) {
    t.equal(scan(`81 ${nameOf('Vsn')} ${value}`).answer, SCAN.invalid, `bytes as ${value}`);
  }
  for (const value of ['07', 'c3'])
    t.equal(scan(`81 ${nameOf('Node')} ${value}`).answer, SCAN.invalid, `a text as ${value}`);
  for (const value of ['c0', '00', 'ff', 'd0ff', 'cf0000000000000001']) {
    t.ok(scan(`81 ${nameOf('Port')} ${value}`).answer > 0, `a number as ${value}`);
  }
  const bools = scanPlan({ fields: { Nack: 'bool' } });
  const answer = (value: string) => {
    const bytes = unhex(`81 ${nameOf('Nack')} ${value}`);
    return scanStruct(bytes, 0, bytes.length, bools, () => 0, undefined);
  };
  for (const value of ['00', '01', 'c2', 'c3', 'c0']) t.equal(answer(value), 7, `a boolean as ${value}`);
  t.equal(answer('02'), SCAN.invalid);
  t.equal(scan('07').answer, SCAN.invalid, 'no struct');
  t.equal(scan('81 07 07').answer, SCAN.invalid, 'a number for a key');
  t.equal(scan('81 a178 c1').answer, SCAN.invalid, 'the byte that means nothing');
});

t.test('input that ends', async (t) => {
  const text = `82 ${nameOf('Port')} cd1f0a ${nameOf('Vsn')} a6010502000000`;
  const whole = unhex(text).length;
  for (let end = 0; end < whole; end++) t.equal(scan(text, end).answer, SCAN.truncated, `after ${end} bytes`);
  for (const head of ['', 'de00', '81 a178 da00', '81 a178 da0005', '81 a178 d9', 'dc', '81 a178 93 01']) {
    t.equal(scan(head).answer, SCAN.truncated, head);
  }
});

t.test('claims, depth, and too many entries', async (t) => {
  for (const value of ['dbffffffff', 'c600010000', 'c9ffffffff00', 'ddffffffff', 'df00010000']) {
    t.equal(scan(`81 a178 ${value}`).answer, SCAN.claim, value);
  }
  for (const value of ['da ffff', 'dc ffff', 'de ffff', 'db 0000ffff', 'c8 fff0 00']) {
    t.equal(scan(`81 a178 ${value}`).answer, SCAN.truncated, `${value}: two bytes may announce what they can`);
  }
  const long = 'ab'.repeat(70_000);
  t.equal(scan(`81 a178 db00011170 ${long}`).answer, 70_008, 'what is there may be long');
  t.equal(scan(`81 a178 ${'91'.repeat(16)} 01`).answer, 20, 'sixteen lists in each other');
  t.equal(scan(`81 a178 ${'91'.repeat(17)} 01`).answer, SCAN.depth);
  t.equal(structHead(unhex('de0401'), 0, 3), SCAN.entries);
  t.equal(structHead(unhex('a0'), 0, 1), SCAN.invalid);
  t.strictSame(structHead(unhex('de0400'), 0, 3), { isMap: true, entries: 1024, next: 3 });
  t.strictSame(structHead(unhex('93'), 0, 1), { isMap: false, entries: 3, next: 1 });
  const many = `de 0500 ${'a178 05'.repeat(1280)}`;
  t.equal(scan(many).answer, unhex(many).length, 'a scan reads on, as go-msgpack does');
});

t.test('values by their offset', async (t) => {
  t.equal(rawStart(unhex('a3'), 0), 1);
  t.equal(rawStart(unhex('c403'), 0), 2);
  t.equal(rawStart(unhex('da0003'), 0), 3);
  t.equal(rawStart(unhex('db00000003'), 0), 5);
  t.equal(rawStart(unhex('07'), 0), SCAN.invalid);
  t.equal(rawStart(unhex('07'), 1), SCAN.invalid);
  t.equal(integerAt(unhex('d3ffffffffffffffff'), 0), -1);
  t.equal(integerAt(unhex('cfffffffffffffffff'), 0), 2 ** 64);
  t.equal(integerAt(unhex('c0'), 0), 0);
  t.ok(Number.isNaN(integerAt(unhex('a0'), 0)), 'no number');
  t.equal(bytesLength(unhex('a3'), 0), 3);
  t.equal(bytesLength(unhex('82'), 0), 4, 'a map makes two elements of an entry');
  t.equal(isList(undefined), false);
});

t.test('a visitor ends the scan', async (t) => {
  const bytes = unhex(`81 ${nameOf('Port')} 07`);
  t.equal(
    scanStruct(bytes, 0, bytes.length, ALIVE, () => -99, undefined),
    -99,
  );
});

t.test('it ends where the decoder ends, whatever a member writes', async (t) => {
  const struct = fc.record({
    Incarnation: fc.nat(0xffff_ffff),
    Node: fc.string({ maxLength: 40 }),
    Addr: fc.uint8Array({ maxLength: 20 }),
    Port: fc.nat(0xffff),
    Meta: fc.uint8Array({ maxLength: 600 }),
    Vsn: fc.uint8Array({ maxLength: 8 }),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(struct, (value) => {
        const bytes = encodeStruct(value, MESSAGE_SCHEMAS.alive);
        const decoded = decodeStruct(bytes, 0, MESSAGE_SCHEMAS.alive);
        const end = scanStruct(bytes, 0, bytes.length, ALIVE, () => 0, undefined);
        return decoded.ok && decoded.value.end === end && end === bytes.length;
      }),
      PROPERTY,
    ),
  );
});

t.test('total, and what the decoder takes a scan takes', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const skipped = skipValue(bytes, 0, bytes.length);
        const end = scanStruct(bytes, 0, bytes.length, ALIVE, () => 0, undefined);
        const decoded = decodeStruct(bytes, 0, MESSAGE_SCHEMAS.alive);
        const inside = (code: number) => code >= SCAN.lowest && code <= bytes.length;
        return inside(skipped) && inside(end) && (!decoded.ok || end === decoded.value.end || end === SCAN.disguised);
      }),
      PROPERTY,
    ),
  );
});
