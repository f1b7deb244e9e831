import fc from 'fast-check';
import t from 'tap';
import { compoundBytes, decodeCompound, encodeCompound } from '../../src/wire/compound.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

t.test('two parts', async (t) => {
  const packet = encodeCompound([hex('aabb'), hex('cc')]);
  t.equal(Buffer.from(packet).toString('hex'), '070200020001aabbcc');
  const compound = decodeCompound(packet);
  const parts = compound.ok ? compound.value.parts : [];
  t.strictSame(
    parts.map((part) => Buffer.from(part).toString('hex')),
    ['aabb', 'cc'],
  );
});

t.test('as lenient as memberlist, and no more', async (t) => {
  const parts = (text: string) => {
    const result = decodeCompound(hex(text));
    return result.ok ? [result.value.parts.length, result.value.truncated] : result.reason;
  };
  t.strictSame(parts('0700'), [0, 0], 'no parts');
  t.strictSame(parts('070200020002aabbcc'), [1, 1], 'the last part is cut short: the first counts');
  t.strictSame(parts('070300050001000199'), [0, 3], 'a part too long ends it, though later ones would fit');
  t.strictSame(parts('070100010a0b0c'), [1, 0], 'bytes after the last part are ignored');
  t.strictSame(parts('07010000'), [1, 0], 'an empty part is a part');
  t.equal(parts('07'), 'truncated', 'no count');
  t.equal(parts('0780'), 'truncated', 'no lengths');
  t.equal(parts('0701'), 'truncated');
  t.equal(parts('08'), 'type_unexpected');
  t.equal(parts(''), 'empty');
});

t.test('refuses to write what it could not read', async (t) => {
  t.throws(() => encodeCompound([]), RangeError);
  t.throws(() => encodeCompound(new Array(256).fill(hex('00'))), RangeError);
  t.throws(() => encodeCompound([new Uint8Array(65_536)]), RangeError);
});

t.test('properties', async (t) => {
  const part = fc.uint8Array({ maxLength: 50 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 255 }), fc.nat(), (parts, cut) => {
        const packet = encodeCompound(parts);
        const whole = decodeCompound(packet);
        const some = decodeCompound(packet.subarray(0, cut % packet.length));
        return (
          packet.length === compoundBytes(parts) &&
          whole.ok &&
          whole.value.truncated === 0 &&
          whole.value.parts.every((got, i) => Buffer.compare(got, parts[i] ?? Buffer.alloc(0)) === 0) &&
          (!some.ok || some.value.parts.length + some.value.truncated === parts.length)
        );
      }),
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(fc.property(part, (bytes) => typeof decodeCompound(Uint8Array.of(7, ...bytes)).ok === 'boolean')),
  );
});
