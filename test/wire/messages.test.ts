import fc from 'fast-check';
import t from 'tap';
import { encodeCompound } from '../../src/wire/compound.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { WALK_EXPANDED_MAX_BYTES, WALK_MESSAGES_MAX } from '../../src/wire/limits.ts';
import { encodeLzw } from '../../src/wire/lzw-encode.ts';
import { decodeMessage, encodeMessage, type Message } from '../../src/wire/messages.ts';
import { walkPacket } from '../../src/wire/walk.ts';

const hex = (text: string) => Buffer.from(text, 'hex');
const bytes = (...values: number[]) => Buffer.from(values);
const VERSIONS = bytes(1, 5, 2, 2, 5, 4);

/** Bodies as hashicorp/go-msgpack v2.1.5 writes memberlist v0.6.0's structs. */
const GOLDEN: readonly { name: string; hex: string; message: Message }[] = [
  {
    name: 'ping with its source',
    hex: '0085a44e6f6465a6626c75652d30a55365714e6f01aa536f7572636541646472a40a000001aa536f757263654e6f6465a6626c75652d31aa536f75726365506f7274cd1f0a',
    message: {
      type: 'ping',
      SeqNo: 1,
      Node: 'blue-0',
      SourceAddr: bytes(10, 0, 0, 1),
      SourcePort: 7946,
      SourceNode: 'blue-1',
    },
  },
  {
    name: 'ping without a source',
    hex: '0082a44e6f6465a6626c75652d30a55365714e6fce00011170',
    message: { type: 'ping', SeqNo: 70_000, Node: 'blue-0', SourceAddr: bytes(), SourcePort: 0, SourceNode: '' },
  },
  {
    name: 'ack without a payload',
    hex: '0282a75061796c6f6164c0a55365714e6fcd012c',
    message: { type: 'ackResp', SeqNo: 300, Payload: bytes() },
  },
  {
    name: 'alive',
    hex: '0486a441646472a40a000001ab496e6361726e6174696f6e07a44d657461da00246d6574612d6f7665722d7468697274792d6f6e652d62797465732d696e2d6c656e677468a44e6f6465a6626c75652d30a4506f7274cd1f0aa356736ea6010502020504',
    message: {
      type: 'alive',
      Incarnation: 7,
      Node: 'blue-0',
      Addr: bytes(10, 0, 0, 1),
      Port: 7946,
      Meta: Buffer.from('meta-over-thirty-one-bytes-in-length'),
      Vsn: VERSIONS,
    },
  },
  {
    name: 'suspect',
    hex: '0383a446726f6da6626c75652d31ab496e6361726e6174696f6e07a44e6f6465a6626c75652d30',
    message: { type: 'suspect', Incarnation: 7, Node: 'blue-0', From: 'blue-1' },
  },
];

/** Comparable: bytes as hex, keys in order. */
const flat = (message: Message) =>
  Object.entries(message)
    .map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));

t.test('as memberlist writes them, both ways', async (t) => {
  for (const golden of GOLDEN) {
    const decoded = decodeMessage(hex(golden.hex));
    if (!decoded.ok) t.fail(`${golden.name}: ${decoded.reason}`);
    else t.strictSame(flat(decoded.value), flat(golden.message), golden.name);
    t.equal(Buffer.from(encodeMessage(golden.message)).toString('hex'), golden.hex, `${golden.name}, written`);
  }
});

t.test('what is no message', async (t) => {
  t.match(decodeMessage(bytes()), { ok: false, reason: 'empty' });
  for (const layer of [6, 7, 9, 10, 12, 244]) t.match(decodeMessage(bytes(layer)), { reason: 'type_unexpected' });
  for (const type of [14, 99, 243, 255]) t.match(decodeMessage(bytes(type)), { reason: 'type_unknown' });
  t.match(decodeMessage(bytes(0)), { reason: 'truncated', at: 2 });
  t.match(decodeMessage(bytes(8, 1, 2)), { value: { type: 'user', data: bytes(1, 2) } });
  t.match(decodeMessage(bytes(8)), { ok: true }, 'a user message may be empty');
});

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u16 = fc.integer({ min: 0, max: 65_535 });
const text = fc.string({ unit: 'binary', maxLength: 60 });
const data = fc.uint8Array({ maxLength: 60 });
const source = { SourceAddr: data, SourcePort: u16, SourceNode: text };
const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constant('ping' as const), SeqNo: u32, Node: text, ...source }),
  fc.record({
    type: fc.constant('indirectPing' as const),
    SeqNo: u32,
    Target: data,
    Port: u16,
    Node: text,
    Nack: fc.boolean(),
    ...source,
  }),
  fc.record({ type: fc.constant('ackResp' as const), SeqNo: u32, Payload: data }),
  fc.record({ type: fc.constant('nackResp' as const), SeqNo: u32 }),
  fc.record({ type: fc.constantFrom('suspect' as const, 'dead' as const), Incarnation: u32, Node: text, From: text }),
  fc.record({
    type: fc.constant('alive' as const),
    Incarnation: u32,
    Node: text,
    Addr: data,
    Port: u16,
    Meta: data,
    Vsn: data,
  }),
  fc.record({ type: fc.constant('err' as const), Error: text }),
  fc.record({ type: fc.constant('user' as const), data }),
);

/** `9 {Algo: 0, Buf}` around a message. */
function compress(message: Uint8Array, algo = 0): Uint8Array {
  const packed = encodeLzw(message);
  const size = bytes(0xdb, packed.length >>> 24, packed.length >>> 16, packed.length >>> 8, packed.length);
  return Buffer.concat([
    bytes(9, 0x82, 0xa4),
    Buffer.from('Algo'),
    bytes(algo, 0xa3),
    Buffer.from('Buf'),
    size,
    packed,
  ]);
}

t.test('properties', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(anyMessage, (message) => {
        const back = decodeMessage(encodeMessage(message));
        return back.ok && JSON.stringify(flat(back.value)) === JSON.stringify(flat(message));
      }),
      { numRuns: 500 },
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(anyMessage, { minLength: 1, maxLength: 20 }), fc.nat(15), (messages, layers) => {
        let packet = encodeCompound(messages.map(encodeMessage));
        if (layers & 1) packet = encodeCompound([packet]);
        if (layers & 2) packet = compress(packet);
        if (layers & 4) packet = encodeCompound([packet]);
        if (layers & 8) packet = addCrc(packet);
        const walk = walkPacket(packet);
        return (
          walk.failures.length === 0 && JSON.stringify(walk.messages.map(flat)) === JSON.stringify(messages.map(flat))
        );
      }),
      { numRuns: 200 },
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 9, 11, 12, 13), data, (type, rest) => {
        const walk = walkPacket(Uint8Array.of(type, ...rest));
        return walk.messages.length + walk.failures.length <= WALK_MESSAGES_MAX;
      }),
      { numRuns: 2_000 },
    ),
  );
});

t.test('a walk goes on after what it cannot read', async (t) => {
  const nack = encodeMessage({ type: 'nackResp', SeqNo: 5 });
  const walk = walkPacket(encodeCompound([bytes(), nack, bytes(99), bytes(9, 0x80), nack, bytes(12, 0, 0, 0, 0)]));
  t.match(walk.messages, [{ type: 'nackResp' }, { type: 'nackResp' }]);
  t.strictSame(
    walk.failures.map((failure) => failure.reason),
    ['empty', 'type_unknown', 'lzw_truncated', 'type_unexpected'],
    'an empty part, a type of the future, compress of nothing, and CRC inside',
  );
  t.match(walkPacket(bytes(7, 2, 0, 1, 0, 9, 11)), { truncatedParts: 1, failures: [{ reason: 'truncated' }] });
  const broken = addCrc(nack);
  broken[1] = (broken[1] ?? 0) ^ 1;
  t.match(walkPacket(broken), { messages: [], failures: [{ reason: 'crc_mismatch' }] });
  t.match(
    walkPacket(compress(nack, 2)),
    { failures: [{ reason: 'compress_algorithm' }] },
    'an algorithm that nobody has',
  );
  t.match(walkPacket(compress(bytes())), { failures: [{ reason: 'empty' }] });
  t.match(walkPacket(bytes()), { failures: [{ reason: 'empty' }] });
});

t.test('a walk is bounded', async (t) => {
  let nested = encodeMessage({ type: 'nackResp', SeqNo: 1 });
  for (let i = 0; i < 5_000; i++) nested = encodeCompound([nested]);
  t.match(walkPacket(nested), { messages: [], failures: [{ reason: 'depth_limit' }] });
  // 255 compounds of 255 empty parts: 65,025 visits without a bound.
  const empties = encodeCompound(new Array<Uint8Array>(255).fill(bytes()));
  const flood = walkPacket(encodeCompound(new Array<Uint8Array>(120).fill(empties)));
  t.ok(flood.failures.length <= WALK_MESSAGES_MAX);
  t.equal(flood.failures.at(-1)?.reason, 'messages_limit');
  const half = compress(new Uint8Array(WALK_EXPANDED_MAX_BYTES / 2 + 1).fill(8));
  const bombs = walkPacket(encodeCompound([half, half, half]));
  t.equal(bombs.messages.length, 1, 'the first fits');
  t.strictSame(
    bombs.failures.map((failure) => failure.reason),
    ['expanded_limit', 'expanded_limit'],
  );
});
