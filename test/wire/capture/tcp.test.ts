import fc from 'fast-check';
import t from 'tap';
import { TCP_CONNECTIONS_MAX, TCP_HELD_TOTAL_MAX_BYTES } from '../../../src/wire/capture/limits.ts';
import { createTcpTable, decodeTcp, type TcpSegment } from '../../../src/wire/capture/tcp.ts';
import { PROPERTY } from '../../property.ts';
import { FLAGS, tcp } from './build.ts';

const { fin: FIN, syn: SYN, rst: RST, ack: ACK } = FLAGS;
const A = { address: '10.0.0.1', port: 40_000 };
const B = { address: '10.0.0.2', port: 7_946 };

function segment(from: typeof A, to: typeof A, seq: number, flags: number, text = '', missing = 0): TcpSegment {
  return { source: from, destination: to, seq: seq | 0, flags, payload: Buffer.from(text, 'latin1'), missing };
}

/** Feeds segments, ends the capture unless told, and gives what each connection told, in order. */
function follow(segments: readonly TcpSegment[], end = true) {
  const told: string[] = [];
  let opened = 0;
  const table = createTcpTable(
    ({ dialler, answerer, midway }) => {
      const id = ++opened;
      told.push(`${id} ${dialler.address}>${answerer.address}${midway ? ' midway' : ''}`);
      return {
        data: (side, bytes, { number }) =>
          told.push(`${id} ${side} ${Buffer.from(bytes).toString('latin1')} @${number}`),
        gap: (side, missing) => told.push(`${id} ${side} <${missing}>`),
        finished: (side) => told.push(`${id} ${side} fin`),
        end: (how, { number }) => told.push(`${id} ${how} @${number}`),
      };
    },
    (port) => port === 7_946,
  );
  for (const [i, one] of segments.entries()) table.segment(one, { number: i + 1, atMs: i });
  if (end) table.end({ number: segments.length, atMs: undefined });
  return { told, evicted: table.evicted() };
}

const HANDSHAKE = [segment(A, B, 99, SYN), segment(B, A, 499, SYN | ACK), segment(A, B, 100, ACK)];

t.test('a whole connection', async (t) => {
  const rest = [
    segment(A, B, 100, ACK, 'ask'),
    segment(A, B, 103, ACK | FIN),
    segment(B, A, 500, ACK, 'answer'),
    segment(B, A, 506, ACK | FIN),
    segment(A, B, 104, ACK),
    segment(B, A, 506, ACK | FIN, 'late'),
  ];
  const expected = [
    '1 10.0.0.1>10.0.0.2',
    '1 dialler ask @4',
    '1 dialler fin',
    '1 answerer answer @6',
    '1 answerer fin',
    '1 closed @7',
  ];
  t.strictSame(follow([...HANDSHAKE, ...rest]).told, expected, 'what comes after the end is left over');
  const doubled = [...HANDSHAKE, ...rest].flatMap((one) => [one, one]);
  t.strictSame(
    follow(doubled).told.map((line) => line.replace(/ @\d+/, '')),
    expected.map((line) => line.replace(/ @\d+/, '')),
    'seen on two interfaces it is still one',
  );
});

t.test('who dialled is told by the SYN, or guessed by the port', async (t) => {
  t.match(follow([segment(B, A, 1, SYN)]).told, ['1 10.0.0.2>10.0.0.1'], 'a SYN from the gossip port');
  t.match(follow([segment(B, A, 1, SYN | ACK)]).told, ['1 10.0.0.1>10.0.0.2'], 'a SYN-ACK first');
  t.match(follow([segment(B, A, 1, ACK, 'x')]).told, ['1 10.0.0.1>10.0.0.2 midway', '1 answerer x @1']);
  t.match(follow([segment(A, B, 1, ACK, 'x')]).told, ['1 10.0.0.1>10.0.0.2 midway', '1 dialler x @1']);
  const both = { address: '10.0.0.3', port: 7_946 };
  t.match(follow([segment(B, both, 1, ACK, 'x')]).told, ['1 10.0.0.2>10.0.0.3 midway'], 'both: the first speaker');
  t.strictSame(
    follow([segment(A, B, 1, ACK), segment(A, B, 1, RST), segment(A, B, 1, FIN)]).told,
    [],
    'nothing was said',
  );
  t.strictSame(
    follow([segment(A, B, 1, SYN, 'fast')]).told,
    ['1 10.0.0.1>10.0.0.2', '1 dialler fast @1', '1 cut @1'],
    'data in a SYN',
  );
});

t.test('resets, ends and ports that are used again', async (t) => {
  const reset = [...HANDSHAKE, segment(A, B, 100, ACK, 'ask'), segment(B, A, 500, RST | ACK, 'why')];
  t.strictSame(follow(reset).told.slice(1), ['1 dialler ask @4', '1 reset @5']);
  const lost = [...HANDSHAKE, segment(A, B, 103, ACK, 'def'), segment(B, A, 500, RST)];
  t.strictSame(
    follow(lost).told.slice(1),
    ['1 dialler <3>', '1 dialler def @5', '1 reset @5'],
    'what waited comes out, with its gap',
  );
  t.strictSame(follow([...HANDSHAKE, segment(A, B, 100, ACK, 'ask')]).told.slice(1), ['1 dialler ask @4', '1 cut @4']);
  const again = [...HANDSHAKE, segment(A, B, 9_999, SYN), segment(A, B, 10_000, ACK, 'new')];
  t.strictSame(follow(again).told, [
    '1 10.0.0.1>10.0.0.2',
    '1 cut @3',
    '2 10.0.0.1>10.0.0.2',
    '2 dialler new @5',
    '2 cut @5',
  ]);
  const after = [...reset, segment(A, B, 99, SYN), segment(A, B, 100, ACK, 'new')];
  t.match(
    follow(after).told.slice(3),
    ['2 10.0.0.1>10.0.0.2', '2 dialler new @7', '2 cut @7'],
    'after the end, the same number too',
  );
  t.strictSame(
    follow([...HANDSHAKE, segment(A, B, 0x7000000, ACK | FIN, 'wild')]).told.slice(1),
    ['1 cut @4'],
    'outside the window',
  );
});

t.test('bounded in connections and in bytes behind holes', async (t) => {
  const from = (i: number) => ({ address: `10.1.${i >> 8}.${i & 255}`, port: 40_000 });
  const syns = Array.from({ length: TCP_CONNECTIONS_MAX + 2 }, (_, i) => segment(from(i), B, 1, SYN));
  // The first one speaks again: the second has been silent for the longest.
  syns.splice(TCP_CONNECTIONS_MAX, 0, segment(from(0), B, 2, ACK, 'x'));
  const { told, evicted } = follow(syns, false);
  t.equal(evicted, 2);
  t.strictSame(
    told.filter((line) => line.includes('cut')),
    [`2 cut @2`, `3 cut @3`],
  );
  const size = 1024 * 1024;
  const text = 'x'.repeat(size);
  const holes = Array.from({ length: TCP_HELD_TOTAL_MAX_BYTES / size + 1 }, (_, i) => [
    segment(from(i), B, 1, SYN),
    segment(from(i), B, 10, ACK, text),
  ]);
  t.equal(follow(holes.flat(), false).evicted, 2);
  const ended = follow([...HANDSHAKE, segment(B, A, 500, RST), ...syns.slice(0, TCP_CONNECTIONS_MAX)], false);
  t.equal(ended.evicted, 0, 'what has ended is no loss');
});

t.test('headers', async (t) => {
  const bytes = tcp(40_000, 7_946, 0xfffffffe, SYN | ACK, Buffer.from('data'));
  t.match(decodeTcp(bytes, 3, 'a', 'b'), {
    source: { address: 'a', port: 40_000 },
    destination: { address: 'b', port: 7_946 },
    seq: -2,
    flags: SYN | ACK,
    missing: 3,
  });
  t.equal(Buffer.from(decodeTcp(bytes, 0, 'a', 'b')?.payload ?? []).toString(), 'data');
  const options = Buffer.from(bytes);
  options[12] = 0x60;
  t.equal(decodeTcp(options, 0, 'a', 'b')?.payload.length, 0);
  options[12] = 0x70;
  t.equal(decodeTcp(options, 0, 'a', 'b'), undefined, 'cut in its options');
  options[12] = 0x40;
  t.equal(decodeTcp(options, 0, 'a', 'b'), undefined, 'shorter than a header');
  t.equal(decodeTcp(new Uint8Array(0), 0, 'a', 'b'), undefined);
});

t.test('property: any segments; each connection ends once, and says nothing afterwards', async (t) => {
  const one = fc.record({
    back: fc.boolean(),
    seq: fc.oneof(fc.nat(60), fc.integer()),
    flags: fc.constantFrom(SYN, SYN | ACK, ACK, ACK, ACK, ACK | FIN, RST),
    text: fc.constantFrom('', 'abc', 'defghi'),
    missing: fc.constantFrom(0, 0, 0, 4),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), (list) => {
        const { told } = follow(
          list.map(({ back, seq, flags, text, missing }) =>
            segment(back ? B : A, back ? A : B, seq, flags, text, missing),
          ),
        );
        const ended = new Set<string>();
        for (const line of told) {
          const [id = '', what = ''] = line.split(' ');
          if (ended.has(id)) return false;
          if (['closed', 'reset', 'cut'].includes(what)) ended.add(id);
        }
        return ended.size === new Set(told.map((line) => line.split(' ')[0])).size;
      }),
      PROPERTY,
    ),
  );
});
