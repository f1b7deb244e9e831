import fc from 'fast-check';
import t from 'tap';
import { createReassembler } from '../../../src/wire/capture/fragments.ts';
import type { IpPacket } from '../../../src/wire/capture/ip.ts';
import {
  FRAGMENTED_MAX,
  FRAGMENTED_TIMEOUT_MS,
  FRAGMENTED_TOTAL_MAX_BYTES,
  FRAGMENTS_MAX,
  IP_PAYLOAD_MAX_BYTES,
} from '../../../src/wire/capture/limits.ts';
import { PROPERTY } from '../../property.ts';

interface Piece {
  readonly id?: number;
  readonly offset: number;
  readonly text: string | Uint8Array;
  readonly more?: boolean;
  readonly missing?: number;
  readonly source?: string;
  readonly protocol?: number;
}

function feed(pieces: readonly Piece[], reassembler = createReassembler(), nowMs = 0) {
  const out: string[] = [];
  for (const { id = 1, offset, text, more = true, missing = 0, source = '10.0.0.1', protocol = 17 } of pieces) {
    const payload = Buffer.from(text as string);
    const packet: IpPacket = { source, destination: '10.0.0.2', protocol, payload, missing, fragment: undefined };
    const whole = reassembler.add(packet, { id, offset, more }, nowMs);
    if (whole !== undefined) out.push(`${whole.protocol} ${Buffer.from(whole.payload).toString('latin1')}`);
  }
  return { out, lost: reassembler.lost(), waiting: reassembler.waiting() };
}

const A = { offset: 0, text: 'aaaaaaaa' };
const B = { offset: 8, text: 'bbbbbbbb' };
const C = { offset: 16, text: 'cc', more: false };
const WHOLE = ['17 aaaaaaaabbbbbbbbcc'];

t.test('in any order, once and twice', async (t) => {
  for (const order of [
    [A, B, C],
    [C, B, A],
    [B, A, C],
    [B, C, A],
    [A, A, B, B, C],
    [C, C, A, B],
  ]) {
    t.strictSame(feed(order), { out: WHOLE, lost: 0, waiting: 0 });
  }
  t.strictSame(feed([A, C]), { out: [], lost: 0, waiting: 1 }, 'a hole');
});

t.test('datagrams are told apart', async (t) => {
  const mixed = [A, { ...A, id: 2, text: 'AAAAAAAA' }, { ...C, offset: 8, id: 2 }, B, C];
  t.strictSame(feed(mixed).out, ['17 AAAAAAAAcc', ...WHOLE], 'by id');
  t.strictSame(feed([A, { ...A, protocol: 6 }, B, C]), { out: WHOLE, lost: 0, waiting: 1 }, 'IPv4: by protocol');
  const v6 = { source: 'fd77::1' };
  const late = [
    { ...B, ...v6, protocol: 60 },
    { ...C, ...v6, protocol: 60 },
    { ...A, ...v6, protocol: 17 },
  ];
  t.strictSame(feed(late).out, WHOLE, 'IPv6: the first fragment says the protocol');
});

t.test('what cannot belong discards the datagram', async (t) => {
  const cases: readonly [string, readonly Piece[]][] = [
    ['overlap with what is before', [A, { offset: 4, text: 'xxxxxxxx' }]],
    ['overlap with what is after', [B, { offset: 4, text: 'xxxxxxxx' }]],
    ['another length at the same place', [B, { offset: 8, text: 'x' }]],
    ['a second end', [C, { offset: 24, text: 'dd', more: false }]],
    ['an end before what is there', [{ offset: 24, text: 'xxxxxxxx' }, C]],
    ['more behind the end', [C, { offset: 24, text: 'xxxxxxxx' }]],
    ['nothing in it', [{ offset: 8, text: '' }]],
    ['beyond what IP can carry', [{ offset: 65_528, text: 'xxxxxxxx' }]],
    ['cut by a snapshot length', [{ ...A, missing: 4 }]],
  ];
  for (const [name, pieces] of cases) t.strictSame(feed(pieces), { out: [], lost: 1, waiting: 0 }, name);
  const largest = [
    { offset: 0, text: Buffer.alloc(IP_PAYLOAD_MAX_BYTES - 7) },
    { offset: IP_PAYLOAD_MAX_BYTES - 7, text: Buffer.alloc(7), more: false },
  ];
  t.equal(feed(largest).out[0]?.length, IP_PAYLOAD_MAX_BYTES + 3, 'the largest is whole');
  const many = Array.from({ length: FRAGMENTS_MAX + 1 }, (_, i) => ({ offset: i * 16, text: 'x' }));
  t.strictSame(feed(many), { out: [], lost: 1, waiting: 0 }, 'too many pieces');
});

t.test('bounded in number, bytes and time', async (t) => {
  const many = Array.from({ length: FRAGMENTED_MAX + 5 }, (_, id) => ({ ...A, id }));
  t.match(feed(many), { lost: 5, waiting: FRAGMENTED_MAX });
  const size = 32_768;
  const large = Array.from({ length: FRAGMENTED_TOTAL_MAX_BYTES / size + 2 }, (_, id) => ({
    offset: 0,
    text: Buffer.alloc(size),
    id,
  }));
  t.match(feed(large), { lost: 2, waiting: FRAGMENTED_TOTAL_MAX_BYTES / size });
  const reassembler = createReassembler();
  feed([A], reassembler, 0);
  feed([{ ...A, id: 2 }], reassembler, FRAGMENTED_TIMEOUT_MS + 1);
  t.strictSame([reassembler.lost(), reassembler.waiting()], [1, 1], 'the old one is given up');
});

t.test('property: any cut in any order gives the datagram', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.array(fc.integer({ min: 1, max: 36 }), { maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        (bytes, cuts, random) => {
          const places = [...new Set([0, ...cuts.map((cut) => cut * 8).filter((cut) => cut < bytes.length)])].sort(
            (a, b) => a - b,
          );
          const pieces = places.map((offset, i) => {
            const end = places[i + 1] ?? bytes.length;
            return { offset, text: bytes.subarray(offset, end), more: end < bytes.length };
          });
          const shuffled = pieces.map((piece) => ({ piece, rank: random.next().value ?? 0 }));
          const order = shuffled.toSorted((a, b) => a.rank - b.rank).map(({ piece }) => piece);
          const { out } = feed(order);
          return out.length === 1 && out[0] === `17 ${Buffer.from(bytes).toString('latin1')}`;
        },
      ),
      PROPERTY,
    ),
  );
});
