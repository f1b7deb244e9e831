import fc from 'fast-check';
import t from 'tap';
import { MESSAGE_SCHEMAS } from '../../src/wire/messages.ts';
import type { FieldKind } from '../../src/wire/msgpack.ts';
import { fieldNamed, scanPlan } from '../../src/wire/msgpack-plan.ts';
import { PUSH_PULL_HEADER, PUSH_PULL_NODE, USER_HEADER } from '../../src/wire/push-pull.ts';
import { PROPERTY } from '../property.ts';

const SCHEMAS = [...Object.values(MESSAGE_SCHEMAS), PUSH_PULL_HEADER, PUSH_PULL_NODE, USER_HEADER];

/** Where a name stands among others, the plain way. */
function find(names: readonly string[], bytes: Uint8Array, start: number, end: number): number {
  return names.indexOf(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
}

t.test('every field of every struct is found by its name', async (t) => {
  for (const schema of SCHEMAS) {
    const plan = scanPlan(schema);
    Object.keys(schema.fields).forEach((name, i) => {
      const bytes = Buffer.from(`..${name}..`);
      t.equal(fieldNamed(plan, bytes, 2, 2 + name.length), i, name);
      t.equal(fieldNamed(plan, bytes, 2, 1 + name.length), -1, 'cut off');
      t.equal(fieldNamed(plan, bytes, 2, 3 + name.length), -1, 'longer');
    });
    t.equal(fieldNamed(plan, new Uint8Array(40), 3, 3), -1, 'no name');
    t.equal(fieldNamed(plan, new Uint8Array(40).fill(0x65), 0, 40), -1, 'a long one');
  }
});

t.test('a name is found where it stands, and no other', async (t) => {
  const plans = SCHEMAS.map((schema) => ({ names: Object.keys(schema.fields), plan: scanPlan(schema) }));
  const names = [...new Set(plans.flatMap((one) => one.names))];
  const change = fc.record({ at: fc.nat(11), by: fc.nat(255) });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.constantFrom(...plans),
        fc.constantFrom(...names),
        fc.nat(20),
        change,
        (one, name, start, { at, by }) => {
          const bytes = Buffer.concat([Buffer.alloc(start, 0x65), Buffer.from(name), Buffer.alloc(3, 0x65)]);
          const changed = start + (at % name.length);
          bytes[changed] = (bytes[changed] ?? 0) ^ by;
          const end = start + name.length;
          return fieldNamed(one.plan, bytes, start, end) === find(one.names, bytes, start, end);
        },
      ),
      PROPERTY,
    ),
  );
});

t.test('what a visitor is told of', async (t) => {
  t.equal(scanPlan(MESSAGE_SCHEMAS.alive).shown, 0b111111);
  t.equal(scanPlan(MESSAGE_SCHEMAS.alive, new Set(['Vsn', 'Incarnation', 'Other'])).shown, 0b100001);
  t.strictSame(
    scanPlan(MESSAGE_SCHEMAS.ping).fields.map(({ isLate }) => isLate),
    [false, false, true, true, true],
  );
});

t.test('sizes by the first byte', async (t) => {
  const sizes = (kind: FieldKind) => scanPlan({ fields: { X: kind } }).fields[0]?.sizes ?? new Uint8Array(0);
  const numbers = {
    0: 1,
    127: 1,
    192: 1,
    202: 0,
    203: 0,
    204: 2,
    205: 3,
    206: 5,
    207: 9,
    208: 2,
    209: 3,
    210: 5,
    211: 9,
    212: 0,
    224: 1,
    255: 1,
  };
  for (const kind of ['u8', 'u16', 'u32', 'int'] as const) {
    for (const [byte, size] of Object.entries(numbers)) t.equal(sizes(kind)[Number(byte)], size, `${kind} ${byte}`);
    t.equal(sizes(kind)[0xa1], 0, 'a text is no number');
  }
  for (const kind of ['text', 'bytes'] as const) {
    for (let length = 0; length < 32; length++) t.equal(sizes(kind)[0xa0 + length], 1 + length);
    for (const byte of [0x00, 0x90, 0xc4, 0xd9, 0xda, 0xe0, 0xff]) t.equal(sizes(kind)[byte], 0, `${kind} ${byte}`);
    t.equal(sizes(kind)[0xc0], 1, 'nil');
  }
  const takenForBool = [...sizes('bool').entries()].filter(([, size]) => size === 1).map(([byte]) => byte);
  t.strictSame(takenForBool, [0, 1, 0xc0, 0xc2, 0xc3]);
});

t.test('schemas that have no plan', async (t) => {
  const fields = (names: readonly string[]) => ({
    fields: Object.fromEntries(names.map((name) => [name, 'int' as const])),
  });
  t.throws(() => scanPlan(fields(['Alpha', 'Gamma'])), /no place for Gamma/, 'one length, one last letter');
  t.throws(() => scanPlan(fields(['ThirteenChars'])), /no place for ThirteenChars/);
  t.throws(() => scanPlan(fields(Array.from({ length: 32 }, (_, i) => `F${i}`))), /at most 31/);
});
