import fc from 'fast-check';
import t from 'tap';
import { HEX_FRAME_MAX_BYTES, HEX_LINE_MAX_BYTES } from '../../../src/wire/capture/limits.ts';
import { LINK } from '../../../src/wire/capture/link.ts';
import { chunked, PROPERTY } from '../../property.ts';
import { ethernet, ip4, ip6, readAll, udp } from './build.ts';

const read = (text: string) => readAll([Buffer.from(text, 'latin1')]);
const hexes = (text: string) => read(text).frames.map(({ bytes }) => Buffer.from(bytes).toString('hex'));

/** As tcpdump prints it: eight words a line. */
function tcpdumpText(bytes: Buffer, ascii: boolean): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const words =
      bytes
        .subarray(at, at + 16)
        .toString('hex')
        .match(/.{1,4}/g) ?? [];
    lines.push(`\t0x${at.toString(16).padStart(4, '0')}:  ${words.join(' ')}${ascii ? '  E..T....' : ''}`);
  }
  return lines.join('\n');
}

t.test('one packet a line', async (t) => {
  t.strictSame(
    hexes('f40b7472\nF40B7472\n0xf40b7472\nf40b 7472\nf4 0b 74 72\nf4:0b:74:72\n'),
    Array(6).fill('f40b7472'),
  );
  t.strictSame(
    hexes('# a comment\n\n00\r\n  01  \n02'),
    ['00', '01', '02'],
    'comments, blanks, no end of line at the end',
  );
  t.match(read('00\n').frames, [{ number: 1, linkType: LINK.gossip, atMs: undefined, wireBytes: 1 }]);
  t.match(read('# nothing\n'), { format: 'hex', failure: undefined, frames: [] });
});

t.test('xxd', async (t) => {
  const text =
    '00000000: f40b 7472 6163 6573 2e6f 7572 7300 82a5  ..traces.ours...\n00000010: 5365                                     Se\n' +
    '00000000: 00                                       .\n';
  t.strictSame(hexes(text), ['f40b7472616365732e6f7572730082a55365', '00']);
});

t.test('hexdump -C', async (t) => {
  const text =
    '00000000  f4 0b 74 72 61 63 65 73  2e 6f 75 72 73 00 82 a5  |..traces.ours...|\n00000010  53 65                                             |Se|\n00000012\n';
  t.strictSame(hexes(text), ['f40b7472616365732e6f7572730082a55365']);
  t.match(read(text).frames, [{ linkType: LINK.gossip }]);
  t.match(
    read(text.replace('00000012', '00000013')),
    { failure: undefined, frames: [{}, {}] },
    'not the length: a line of its own',
  );
});

t.test('tcpdump, from the IP header and from the Ethernet header', async (t) => {
  const v4 = ip4('10.0.0.1', '10.0.0.2', 17, udp(7946, 7946, Buffer.from('gossip')));
  const v6 = ip6('fd77::1', 'fd77::2', 17, udp(7946, 7946, Buffer.from('gossip')));
  const cases: readonly [Buffer, number][] = [
    [v4, LINK.raw],
    [v6, LINK.raw],
    [ethernet(0x0800, v4), LINK.ethernet],
    [ethernet(0x86dd, v6), LINK.ethernet],
    [ethernet(0x0800, v4, [0x8100]), LINK.ethernet],
    [ethernet(0x0800, v4, [0x88a8, 0x8100]), LINK.ethernet],
    [v4.subarray(0, 30), LINK.raw],
  ];
  for (const ascii of [false, true]) {
    const text = cases.map(
      ([bytes]) => `1795358580.123456 IP 10.0.0.1.7946 > 10.0.0.2.7946: UDP\n${tcpdumpText(bytes, ascii)}`,
    );
    const { frames, failure } = read(text.join('\n'));
    t.equal(failure, undefined);
    t.strictSame(
      frames.map(({ bytes, linkType, atMs }) => [Buffer.from(bytes).toString('hex'), linkType, atMs]),
      cases.map(([bytes, link]) => [bytes.toString('hex'), link, 1_795_358_580_123.456]),
    );
  }
  const heads = [
    '14:43:16.123456 IP 10.0.0.1.7946 > 10.0.0.2.7946: UDP, length 6',
    '2026-11-22 14:43:16.123456 IP6 fd77::1.7946 > fd77::2.7946: UDP, length 6',
    'IP 10.0.0.1.7946 > 10.0.0.2.7946: UDP, length 6',
    'IP6 fd77::1.7946 > fd77::2.7946: UDP, length 6',
    'ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28',
    '14:43:16.123456 IP (tos 0x0, ttl 64)\n    10.0.0.1.7946 > 10.0.0.2.7946: UDP, length 6',
  ];
  for (const head of heads)
    t.match(read(`${head}\n${tcpdumpText(v4, true)}\n`), { failure: undefined, frames: [{ atMs: undefined }] }, head);
});

t.test('what is no hex is told with its place, after what was read', async (t) => {
  const wrong = ['f40', 'zz', '0x', '00000000: zz', 'hello world', '00000010: 00', '0x0000:  456', '00000000  |..|'];
  for (const line of wrong) {
    t.match(read(`00\n${line}\n01\n`), { failure: { reason: 'hex_line', at: 3 }, frames: [{ number: 1 }] }, line);
  }
  t.match(read(`00\n00000000: 0102\n00000004: 03\n`), { failure: { reason: 'hex_line', at: 18 } }, 'a hole in a dump');
  t.match(read(`00\nzz`), { failure: { reason: 'hex_line', at: 3 } }, 'in the last line too');
  t.match(read('a'.repeat(HEX_LINE_MAX_BYTES + 1)), { failure: { reason: 'hex_length', at: 0 } });
  t.match(read(`00\n${'a'.repeat(HEX_LINE_MAX_BYTES + 2)}\n`), { failure: { reason: 'hex_length', at: 3 } });
  const row = Buffer.alloc(1_024, 1).toString('hex');
  const rows = Array.from(
    { length: HEX_FRAME_MAX_BYTES / 1_024 + 1 },
    (_, i) => `${(i * 1_024).toString(16).padStart(8, '0')}: ${row}`,
  );
  t.match(read(rows.join('\n')), { failure: { reason: 'hex_length' } });
  t.match(read(rows.slice(0, -1).join('\n')), { failure: undefined, frames: [{ wireBytes: HEX_FRAME_MAX_BYTES }] });
});

t.test('property: packets come out as they went in, in any chunking', async (t) => {
  const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 8 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(packets, fc.array(fc.nat(1_000)), fc.boolean(), (list, cuts, dump) => {
        const line = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
        const text = list.map((bytes) => (dump ? `00000000: ${line(bytes)}` : line(bytes))).join('\n');
        const { frames } = readAll(chunked(Buffer.from(text), cuts));
        return JSON.stringify(frames.map(({ bytes }) => line(bytes))) === JSON.stringify(list.map(line));
      }),
      PROPERTY,
    ),
  );
});

t.test('property: any text gives frames or a reason', async (t) => {
  const word = fc.constantFrom(
    '0',
    'f4',
    ' ',
    '  ',
    ':',
    '0x',
    '\n',
    '00000000',
    '#',
    'IP ',
    'z',
    '|',
    '\t',
    '12:00:00.0 ',
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (words) => {
        const { format, failure } = read(words.join(''));
        return format === 'hex' || failure?.reason === 'empty';
      }),
      PROPERTY,
    ),
  );
});
