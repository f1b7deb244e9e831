import fc from 'fast-check';
import t from 'tap';
import { ERROR_TEXT_MAX_BYTES, encodeErrorFrame } from '../../src/wire/error-frame.ts';

/** Reads the frame as memberlist does: the type, then a map with the one key. */
function decode(frame: Uint8Array): string {
  const bytes = Buffer.from(frame);
  if (bytes.subarray(0, 8).toString('hex') !== '0d81a54572726f72') throw new Error(bytes.toString('hex'));
  const size = bytes[8] ?? 0;
  if (size >= 0xa0 && size <= 0xbf) {
    if (bytes.length !== 9 + (size & 0x1f)) throw new Error('length');
    return bytes.subarray(9).toString('utf8');
  }
  if (size !== 0xda || bytes.length !== 11 + bytes.readUInt16BE(9)) throw new Error('neither fixraw nor raw16');
  return bytes.subarray(11).toString('utf8');
}

t.test('the bytes that memberlist writes for a short error', async (t) => {
  t.equal(Buffer.from(encodeErrorFrame('no')).toString('hex'), '0d81a54572726f72a26e6f');
});

t.test('31 bytes are the longest fixraw, 32 are a raw16 and never a str8', async (t) => {
  t.equal(encodeErrorFrame('x'.repeat(31))[8], 0xbf);
  t.same([...encodeErrorFrame('x'.repeat(32)).subarray(8, 11)], [0xda, 0, 32]);
});

t.test('a long text is cut at its bound, at a character', async (t) => {
  t.equal(decode(encodeErrorFrame('x'.repeat(100_000))).length, ERROR_TEXT_MAX_BYTES);
  const cut = decode(encodeErrorFrame(`x${'é'.repeat(2_000)}`));
  t.notOk(cut.includes('�'));
  t.equal(Buffer.byteLength(cut), ERROR_TEXT_MAX_BYTES - 1);
});

t.test('any text within the bound comes back', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        if (Buffer.byteLength(text) > ERROR_TEXT_MAX_BYTES) return;
        if (decode(encodeErrorFrame(text)) !== text) throw new Error(`lost ${JSON.stringify(text)}`);
      }),
    ),
  );
});
