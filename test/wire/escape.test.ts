import fc from 'fast-check';
import t from 'tap';
import { escapeBytes, escapeText } from '../../src/wire/escape.ts';
import { decodeText } from '../../src/wire/text.ts';
import { PROPERTY } from '../property.ts';

t.test('labels as people read them', async (t) => {
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  t.equal(escapeBytes(bytes('tempo-blue.traces')), 'tempo-blue.traces');
  t.equal(escapeBytes(bytes('a"b\\c\n\x1b[31m\xff')), 'a\\x22b\\x5cc\\x0a\\x1b[31m\\xff');
  t.equal(escapeBytes(new Uint8Array(255).fill(97)), `${'a'.repeat(64)}...`);
});

t.test('names as people read them', async (t) => {
  t.equal(escapeText('tempo-b-1'), 'tempo-b-1');
  t.equal(escapeText('a"b\\c\n\x1b[31m'), 'a\\x22b\\x5cc\\x0a\\x1b[31m');
  t.equal(escapeText('zoë'), 'zo\\xc3\\xab');
  t.equal(escapeText(decodeText(Uint8Array.of(0x61, 0xff, 0xfe))), 'a\\xff\\xfe', 'bytes that are no UTF-8');
  t.equal(escapeText('a'.repeat(1_000)), `${'a'.repeat(128)}...`);
  t.equal(escapeText('abc', 3), 'abc');
  t.equal(escapeText('abcd', 3), 'abc...');
});

t.test('whatever the bytes are, text shows them like bytes, printable and bounded', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(40), (bytes, max) => {
        const shown = escapeText(decodeText(bytes), max);
        return shown === escapeBytes(bytes, max) && /^[\x20-\x7e]*$/.test(shown) && shown.length <= 4 * max + 3;
      }),
      PROPERTY,
    ),
  );
});
