import fc from 'fast-check';
import t from 'tap';
import { addCrc, openCrc } from '../../src/wire/crc.ts';

t.test('the checksum is IEEE CRC-32, big-endian', async (t) => {
  // "123456789" is the usual check string of CRC-32/ISO-HDLC: 0xcbf43926.
  const packet = addCrc(Buffer.from('123456789'));
  t.equal(Buffer.from(packet).toString('hex'), '0ccbf43926313233343536373839');
  t.match(openCrc(packet), { ok: true });
});

t.test('a wrong sum, a short header and no header', async (t) => {
  const packet = addCrc(Buffer.from('123456789'));
  packet[13] = 0x38;
  t.strictSame(openCrc(packet), { ok: false, reason: 'crc_mismatch', at: 1 });
  const short = Uint8Array.of(12, 1, 2, 3);
  t.strictSame(openCrc(short), { ok: true, value: short }, 'memberlist takes fewer than five bytes for a message');
  const empty = openCrc(Uint8Array.of(12, 0, 0, 0, 0));
  t.ok(empty.ok && empty.value.length === 0, 'the sum of nothing is zero, and the message is empty');
});

t.test('any message comes back, any flipped bit is seen', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (message, place) => {
        const packet = addCrc(message);
        const opened = openCrc(packet);
        const bit = 8 + (place % ((packet.length - 1) * 8));
        packet[bit >> 3] = (packet[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return opened.ok && opened.value.length === message.length && !openCrc(packet).ok;
      }),
    ),
  );
});
