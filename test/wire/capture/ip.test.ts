import fc from 'fast-check';
import t from 'tap';
import { decodeIp, type IpPacket } from '../../../src/wire/capture/ip.ts';
import { PROPERTY } from '../../property.ts';
import { ip4, ip6 } from './build.ts';

const DATA = Buffer.from('payload!');

function packet(bytes: Uint8Array, at = 0): IpPacket {
  const read = decodeIp(bytes, at);
  if (typeof read === 'string') throw new Error(read);
  return read;
}

t.test('IPv4', async (t) => {
  const plain = packet(ip4('10.0.0.1', '192.168.255.2', 17, DATA));
  t.match(plain, { source: '10.0.0.1', destination: '192.168.255.2', protocol: 17, missing: 0, fragment: undefined });
  t.strictSame(Buffer.from(plain.payload), DATA);
  const padded = packet(
    Buffer.concat([Buffer.alloc(3), ip4('1.2.3.4', '5.6.7.8', 6, DATA, { options: Buffer.alloc(8) }), Buffer.alloc(9)]),
    3,
  );
  t.strictSame([Buffer.from(padded.payload), padded.missing], [DATA, 0], 'options, and padding of the link');
  const cut = packet(ip4('1.2.3.4', '5.6.7.8', 6, DATA).subarray(0, 22));
  t.match([cut.payload.length, cut.missing], [2, 6]);
  t.strictSame(
    Buffer.from(packet(ip4('1.2.3.4', '5.6.7.8', 6, DATA, { total: 0 })).payload),
    DATA,
    'not segmented yet',
  );
  t.match(packet(ip4('1.2.3.4', '5.6.7.8', 6, DATA, { id: 77, offset: 16, more: true })), {
    fragment: { id: 77, offset: 16, more: true },
  });
  t.match(packet(ip4('1.2.3.4', '5.6.7.8', 6, DATA, { offset: 8 })), { fragment: { offset: 8, more: false } });
});

t.test('IPv6', async (t) => {
  const plain = packet(ip6('fd77::1', 'fd77::2', 17, DATA));
  t.match(plain, { source: 'fd77::1', destination: 'fd77::2', protocol: 17, missing: 0, fragment: undefined });
  t.strictSame(Buffer.from(plain.payload), DATA);
  const options = [0, 0, 0, 0, 0, 0, 0, 0];
  const chained = packet(
    ip6('fd77::1', 'fd77::2', 6, DATA, [
      [0, options],
      [60, options],
      [43, options],
      [51, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ]),
  );
  t.match(chained, { protocol: 6, missing: 0 });
  t.strictSame(Buffer.from(chained.payload), DATA, 'after every extension header');
  const first = packet(ip6('fd77::1', 'fd77::2', 17, DATA, [[44, [0, 0, 0, 1, 0, 0, 0, 9]]]));
  t.match(first, { protocol: 17, fragment: { id: 9, offset: 0, more: true } });
  const later = packet(ip6('fd77::1', 'fd77::2', 60, DATA, [[44, [0, 0, 0, 8, 0, 0, 0, 9]]]));
  t.match(later, { protocol: 60, fragment: { id: 9, offset: 8, more: false } });
  t.strictSame(Buffer.from(later.payload), DATA, 'what follows a later fragment is payload');
  t.match(
    packet(ip6('fd77::1', 'fd77::2', 17, DATA, [[44, [0, 0, 0, 0, 0, 0, 0, 9]]])),
    { protocol: 17, fragment: undefined },
    'a fragment that is all',
  );
  const jumbo = ip6('fd77::1', 'fd77::2', 17, DATA);
  jumbo.writeUInt16BE(0, 4);
  t.strictSame(Buffer.from(packet(jumbo).payload), DATA, 'not segmented yet');
});

t.test('what is cut or contradicts itself', async (t) => {
  const v4 = ip4('1.2.3.4', '5.6.7.8', 6, DATA, { options: Buffer.alloc(8) });
  const v6 = ip6('fd77::1', 'fd77::2', 6, DATA, [[0, [0, 0, 0, 0, 0, 0, 0, 0]]]);
  const longHeader = Buffer.from(v6);
  longHeader[41] = 9;
  const short = ip6('fd77::1', 'fd77::2', 6, new Uint8Array(0), [[0, [0, 0, 0, 0]]]);
  const bigHeader = ip6('fd77::1', 'fd77::2', 6, Buffer.alloc(100), [[0, [0, 9, 0, 0, 0, 0, 0, 0]]]);
  const cases: readonly [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(0), 'cut'],
    ['neither', Buffer.from([0x50]), 'ip_malformed'],
    ['IPv4 header cut', v4.subarray(0, 19), 'cut'],
    ['IPv4 options cut', v4.subarray(0, 27), 'cut'],
    ['IPv4 header of less than it is', Buffer.concat([Buffer.from([0x44]), v4.subarray(1)]), 'ip_malformed'],
    ['IPv4 length below its header', ip4('1.2.3.4', '5.6.7.8', 6, DATA, { total: 10 }), 'ip_malformed'],
    ['IPv6 header cut', v6.subarray(0, 39), 'cut'],
    ['IPv6 extension cut', v6.subarray(0, 44), 'cut'],
    ['IPv6 extension longer than all', longHeader, 'ip_malformed'],
    ['IPv6 extension that is half there', short, 'ip_malformed'],
    ['IPv6 extension cut behind its first bytes', bigHeader.subarray(0, 60), 'cut'],
  ];
  for (const [name, bytes, expected] of cases) t.equal(decodeIp(bytes, 0), expected, name);
});

t.test('property: total, and the payload lies inside', async (t) => {
  const start = fc.constantFrom(0x45, 0x46, 0x60, 0x4f, 0);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 120 }), (first, rest) => {
        const bytes = Buffer.concat([Buffer.from([first]), rest]);
        const read = decodeIp(bytes, 0);
        return typeof read === 'string' || (read.missing >= 0 && read.payload.length <= bytes.length);
      }),
      PROPERTY,
    ),
  );
});
