import fc from 'fast-check';
import t from 'tap';
import { VLAN_TAGS_MAX } from '../../../src/wire/capture/limits.ts';
import { findIp, LINK } from '../../../src/wire/capture/link.ts';
import { PROPERTY } from '../../property.ts';
import { ethernet } from './build.ts';

const IP = Buffer.from([0x45]);
const cooked = (type: number) => Buffer.concat([Buffer.alloc(14), Buffer.from([type >> 8, type & 0xff]), IP]);
const cooked2 = (type: number) => Buffer.concat([Buffer.from([type >> 8, type & 0xff]), Buffer.alloc(18), IP]);

t.test('where IP starts', async (t) => {
  const cases: readonly [string, number, Uint8Array, number | string][] = [
    ['Ethernet, IPv4', LINK.ethernet, ethernet(0x0800, IP), 14],
    ['Ethernet, IPv6', LINK.ethernet, ethernet(0x86dd, IP), 14],
    ['Ethernet, ARP', LINK.ethernet, ethernet(0x0806, IP), 'not_ip'],
    ['Ethernet, cut', LINK.ethernet, ethernet(0x0800, IP).subarray(0, 13), 'cut'],
    ['one tag', LINK.ethernet, ethernet(0x0800, IP, [0x8100]), 18],
    ['two tags', LINK.ethernet, ethernet(0x0800, IP, [0x88a8, 0x8100]), 22],
    ['two tags of old', LINK.ethernet, ethernet(0x0800, IP, [0x9100, 0x8100]), 22],
    [
      'as many tags as are read',
      LINK.ethernet,
      ethernet(0x0800, IP, Array(VLAN_TAGS_MAX).fill(0x8100)),
      14 + 4 * VLAN_TAGS_MAX,
    ],
    ['a tag more', LINK.ethernet, ethernet(0x0800, IP, Array(VLAN_TAGS_MAX + 1).fill(0x8100)), 'not_ip'],
    ['cut in a tag', LINK.ethernet, ethernet(0x0800, IP, [0x8100]).subarray(0, 16), 'cut'],
    ['cooked v1', LINK.cooked, cooked(0x0800), 16],
    ['cooked v1, other', LINK.cooked, cooked(4), 'not_ip'],
    ['cooked v1, cut', LINK.cooked, cooked(0x0800).subarray(0, 15), 'cut'],
    ['cooked v2', LINK.cooked2, cooked2(0x86dd), 20],
    ['cooked v2, other', LINK.cooked2, cooked2(0x0806), 'not_ip'],
    ['cooked v2, cut', LINK.cooked2, cooked2(0x0800).subarray(0, 19), 'cut'],
    ['null, little-endian IPv4', LINK.null, Buffer.from([2, 0, 0, 0, 0x45]), 4],
    ['null, big-endian IPv6 of FreeBSD', LINK.null, Buffer.from([0, 0, 0, 28, 0x60]), 4],
    ['null, little-endian IPv6 of macOS', LINK.null, Buffer.from([30, 0, 0, 0, 0x60]), 4],
    ['null, another family', LINK.null, Buffer.from([7, 0, 0, 0, 0x45]), 'not_ip'],
    ['null, no family', LINK.null, Buffer.from([2, 0, 1, 0, 0x45]), 'not_ip'],
    ['null, cut', LINK.null, Buffer.from([2, 0, 0]), 'cut'],
    ['loop', LINK.loop, Buffer.from([0, 0, 0, 2, 0x45]), 4],
    ['raw', LINK.raw, IP, 0],
    ['raw as BSD writes it', LINK.rawBsd, IP, 0],
    ['raw as OpenBSD writes it', LINK.rawOpenBsd, IP, 0],
    ['IPv4', LINK.ipv4, IP, 0],
    ['IPv6', LINK.ipv6, IP, 0],
    ['802.11', 105, IP, 'link_unknown'],
  ];
  for (const [name, link, bytes, expected] of cases) t.equal(findIp(link, bytes), expected, name);
});

t.test('property: total', async (t) => {
  const link = fc.oneof(fc.constantFrom(...Object.values(LINK)), fc.nat(300));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(link, fc.uint8Array({ maxLength: 60 }), (type, bytes) => {
        const at = findIp(type, bytes);
        return typeof at === 'string' || (at >= 0 && at <= bytes.length);
      }),
      PROPERTY,
    ),
  );
});
