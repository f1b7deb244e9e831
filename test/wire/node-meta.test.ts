import fc from 'fast-check';
import t from 'tap';
import { decodeNodeMeta, encodeNodeMeta } from '../../src/wire/node-meta.ts';
import { PROPERTY } from '../property.ts';

const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));

t.test('role and zone', async (t) => {
  t.strictSame(decodeNodeMeta(bytesOf('\x01\x01\x06zone-a')), { role: 'member', zone: 'zone-a' });
  t.strictSame(decodeNodeMeta(bytesOf('\x01\x02\x00')), { role: 'bridge', zone: '' });
  t.strictSame(decodeNodeMeta(bytesOf('\x01\x01\x10sixteen-byte-zon')), { role: 'member', zone: 'sixteen-byte-zon' });
  t.throws(() => encodeNodeMeta({ role: 'member', zone: 'seventeen-byte-zo' }), RangeError);
});

t.test("other apps' metadata says nothing", async (t) => {
  for (const meta of [
    ...['', '\x01', '\x01\x01', '\x02\x01\x00', '\x01\x00\x00', '\x01\x03\x00', '\x01\x01\x02a', '\x01\x01\x01ab'],
    ...['\x01\x01\x11seventeen-byte-zo', 'zone-a', '\xff\x81\xa4role'],
  ]) {
    t.equal(decodeNodeMeta(bytesOf(meta)), undefined, JSON.stringify(meta));
  }
});

t.test('what is read is what was written, and nothing else is read', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
        for (const meta of [bytes, Uint8Array.of(1, 2, bytes.length, ...bytes)]) {
          const read = decodeNodeMeta(meta);
          if (read !== undefined && !Buffer.from(encodeNodeMeta(read)).equals(meta)) return false;
        }
        return true;
      }),
      PROPERTY,
    ),
  );
});
