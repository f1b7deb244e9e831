import fc from 'fast-check';
import t from 'tap';
import { encodeCompress } from '../../src/wire/compress.ts';
import { COMPRESSED_MAX_BYTES } from '../../src/wire/limits.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodePushPull, encodeUserStream, type PushPullNode } from '../../src/wire/push-pull.ts';
import { createStreamReader, type StreamBounds, type StreamProgress } from '../../src/wire/stream-reader.ts';
import { ATTACKS, int64, map } from '../policy/attacks.ts';
import { chunked, PROPERTY } from '../property.ts';

const unhex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
const bytes = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31) & 0xff);

const node = (Name: string, over: Partial<PushPullNode> = {}): PushPullNode => ({
  Name,
  Addr: Uint8Array.of(10, 0, 0, 1),
  Port: 7946,
  Meta: bytes(3),
  Incarnation: 5,
  State: 0,
  Vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
  ...over,
});

const STATE = bytes(5000);
const PUSH_PULL = encodePushPull({ join: true, nodes: [node('a'), node('b', { State: 2 })], userState: STATE });
const SAID = ['push/pull of 2, 5000 bytes, join true', 'a 0', 'b 2', `user ${Buffer.from(STATE).toString('hex')}`];

interface Read {
  readonly said: string[];
  readonly progress: StreamProgress;
  readonly states: string[];
}

/** What a reader tells of chunks and an end, pieces of a body put together. */
function read(chunks: readonly Uint8Array[], bounds?: StreamBounds, ends = true): Read {
  const said: string[] = [];
  const user: Uint8Array[] = [];
  const reader = createStreamReader(
    {
      pushPull: ({ nodes, userStateBytes, join: joins }) =>
        said.push(`push/pull of ${nodes}, ${userStateBytes} bytes, join ${joins}`),
      node: ({ Name, State }) => said.push(`${Name} ${State}`),
      userMessage: (size) => said.push(`user message of ${size}`),
      user: (piece) => user.push(Uint8Array.from(piece)),
      message: (message) => said.push(message.type),
      compressed: (algorithm) => said.push(`compressed ${algorithm}`),
    },
    bounds,
  );
  const states = chunks.map((chunk) => reader.push(chunk).state);
  const progress = ends ? reader.end() : reader.push(new Uint8Array(0));
  if (user.length > 0) said.push(`user ${Buffer.concat(user).toString('hex')}`);
  return { said, progress, states };
}

t.test('a push/pull, plain and compressed both ways', async (t) => {
  t.strictSame(read([PUSH_PULL]), { said: SAID, progress: { state: 'done' }, states: ['done'] });
  for (const algorithm of [0, 1] as const) {
    const { said, progress } = read([encodeCompress(PUSH_PULL, algorithm)]);
    t.strictSame(said, [`compressed ${algorithm}`, ...SAID]);
    t.strictSame(progress, { state: 'done' });
  }
});

t.test('the body is told from what has to be verified', async (t) => {
  const rowsEnd = PUSH_PULL.length - STATE.length;
  const { states } = read([
    PUSH_PULL.subarray(0, rowsEnd - 1),
    PUSH_PULL.subarray(rowsEnd - 1, rowsEnd),
    PUSH_PULL.subarray(rowsEnd),
  ]);
  t.strictSame(states, ['reading', 'body', 'done']);
  const packed = encodeCompress(PUSH_PULL, 0);
  t.strictSame(
    read([packed.subarray(0, -1), packed.subarray(-1)]).states,
    ['reading', 'done'],
    'nothing of a compress layer is',
  );
  t.strictSame(read([PUSH_PULL.subarray(0, rowsEnd + 9)]).progress, {
    state: 'failed',
    failure: { ok: false, reason: 'truncated', at: 0 },
  });
});

t.test('user messages and the small ones', async (t) => {
  t.strictSame(read([encodeUserStream(bytes(3))]).said, ['user message of 3', 'user 001f3e']);
  t.strictSame(read([encodeUserStream(bytes(0))]).progress, { state: 'done' });
  for (const message of [
    { type: 'ping', SeqNo: 1, Node: 'a', SourceAddr: bytes(0), SourcePort: 0, SourceNode: '' },
    { type: 'ackResp', SeqNo: 1, Payload: bytes(0) },
    { type: 'err', Error: 'no' },
  ] as const) {
    t.strictSame(read([encodeMessage(message)]), {
      said: [message.type],
      progress: { state: 'done' },
      states: ['done'],
    });
    const packed = read([encodeCompress(encodeMessage(message), 0)]);
    t.strictSame([packed.said, packed.progress.state], [['compressed 0', message.type], 'done']);
  }
  t.match(
    read([join(encodeMessage({ type: 'err', Error: 'no' }), bytes(9))]).progress,
    { state: 'done' },
    'what follows is ignored',
  );
  t.equal(
    createStreamReader({}).push(encodeMessage({ type: 'err', Error: 'no' })).state,
    'done',
    'nobody has to listen',
  );
  t.equal(createStreamReader({}).push(PUSH_PULL).state, 'done');
});

t.test('any chunking gives the same', async (t) => {
  const messages = [
    PUSH_PULL,
    encodeCompress(PUSH_PULL, 0),
    encodeCompress(PUSH_PULL, 1),
    encodeUserStream(bytes(300)),
  ];
  const wholes = messages.map((message) => read([message]));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.nat(messages.length - 1), fc.array(fc.nat(10_000), { maxLength: 12 }), (which, cuts) => {
        const { said, progress } = read(chunked(messages[which] as Uint8Array, cuts));
        const whole = wholes[which] as Read;
        t.strictSame([said, progress], [whole.said, whole.progress]);
      }),
      PROPERTY,
    ),
  );
  for (const [which, message] of messages.entries()) {
    const { said } = read(Array.from(message, (byte) => Uint8Array.of(byte)));
    t.strictSame(said, (wholes[which] as Read).said, 'byte by byte');
  }
});

const failureOf = (message: Uint8Array, bounds?: StreamBounds, ends = true) =>
  read([message], bounds, ends).progress.failure?.reason;

t.test('bounds', async (t) => {
  const header = (nodes: bigint, userBytes: bigint) =>
    join(Uint8Array.of(6), map(['Nodes', int64(nodes)], ['UserStateLen', int64(userBytes)]));
  t.equal(failureOf(header(-1n, 0n)), 'nodes_limit');
  t.equal(failureOf(header(1_048_577n, 0n)), 'nodes_limit');
  t.equal(failureOf(header(1_048_576n, 0n)), 'truncated', 'the most that memberlist takes');
  t.equal(failureOf(header(0n, -1n)), 'user_bytes_limit');
  t.equal(failureOf(header(0n, 20_971_521n)), 'user_bytes_limit');
  t.equal(failureOf(header(3n, 0n), { nodes: 2 }), 'nodes_limit');
  t.equal(failureOf(header(0n, 3n), { userBytes: 2 }), 'user_bytes_limit');
  t.equal(failureOf(join(Uint8Array.of(8), map(['UserMsgLen', int64(-5n)]))), 'user_bytes_limit');
  t.equal(failureOf(encodeCompress(PUSH_PULL, 0), { expandedBytes: 1000 }), 'expanded_limit');
  t.equal(failureOf(encodeCompress(PUSH_PULL, 1), { expandedBytes: 1000 }), 'expanded_limit');
});

t.test('what memberlist does not read either', async (t) => {
  t.equal(failureOf(unhex('0b 80')), 'type_unexpected');
  t.equal(failureOf(unhex('06 a0')), 'field_type');
  t.equal(failureOf(encodeCompress(encodeCompress(PUSH_PULL, 0), 0)), 'type_unexpected', 'one layer only');
  t.equal(failureOf(join(unhex('09'), map(['Algo', unhex('07')], ['Buf', unhex('a101')]))), 'compress_algorithm');
  t.equal(failureOf(join(unhex('09'), map(['Algo', unhex('00')], ['Buf', unhex('a4ffffffff')]))), 'lzw_code');
  t.equal(failureOf(join(unhex('09'), map(['Algo', unhex('00')], ['Buf', unhex('a101')]))), 'lzw_truncated');
  t.equal(failureOf(join(unhex('09'), map(['Algo', unhex('01')], ['Buf', unhex('a101')]))), 'snappy_corrupt');
  t.equal(failureOf(unhex('09 80')), 'lzw_truncated');
  t.equal(failureOf(unhex('09 c0')), 'lzw_truncated');
  t.equal(failureOf(join(unhex('09'), map(['Buf', unhex('c0')]))), 'lzw_truncated');
  t.equal(failureOf(join(unhex('09'), map(['Buf', unhex('a0')]))), 'lzw_truncated');
  t.equal(failureOf(unhex('09 07')), 'field_type');
  t.equal(failureOf(join(unhex('09'), map(['Algo', unhex('a101')]))), 'field_type');
  t.equal(failureOf(join(unhex('09'), map(['Buf', unhex('07')]))), 'field_type');
  t.equal(failureOf(unhex('09 81 07')), 'field_type');
  t.equal(failureOf(unhex('09 81')), 'truncated');
  t.equal(failureOf(new Uint8Array(0)), 'truncated');
  t.equal(failureOf(encodeCompress(PUSH_PULL.subarray(0, 30), 0)), 'truncated', 'a whole layer around half a message');
  const wide = join(unhex('06'), map(['Nodes', unhex('01')]), map(['Port', unhex('ce00010000')]));
  t.equal(failureOf(wide), 'field_range');
  t.equal(failureOf(unhex('02 81 a5 5365714e6f cf0000000100000000')), 'field_range');
  t.equal(failureOf(unhex('0b'), undefined, false), 'type_unexpected', 'said before the end');
});

t.test('what ends it at once', async (t) => {
  t.equal(failureOf(encodeCompress(new Uint8Array(0), 0), undefined, false), 'empty');
  t.equal(failureOf(encodeCompress(new Uint8Array(0), 1), undefined, false), 'empty');
  const claim = join(unhex('09'), map(['Algo', unhex('00')]).fill(0x82, 0, 1), unhex('a3 427566 db'));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(COMPRESSED_MAX_BYTES + 1);
  t.equal(failureOf(join(claim, size), undefined, false), 'length_claim');
  t.equal(failureOf(join(claim, unhex('00')), undefined, false), undefined, 'not before the length is there');
  t.equal(failureOf(unhex('09 81 db ffffffff'), undefined, false), 'length_claim');
  t.equal(failureOf(unhex('09 de 0401'), undefined, false), 'entries_limit');
  t.equal(failureOf(unhex('06 de 0401'), undefined, false), 'entries_limit');
  const entry = join(unhex('a178 da ffff'), new Uint8Array(65_535));
  const row = join(
    unhex('06'),
    map(['Nodes', unhex('01')]),
    unhex('86'),
    entry,
    entry,
    entry,
    entry,
    unhex('a178 da ffff 00'),
  );
  t.equal(failureOf(row, undefined, false), 'entries_limit', 'a row larger than any');
  const list = join(unhex('09 81 a178 96'), ...[1, 2, 3, 4, 5].map(() => entry.subarray(2)));
  t.equal(failureOf(list, undefined, false), 'entries_limit', 'an entry larger than any');
});

t.test('a compress layer that no member writes', async (t) => {
  const buf = unhex('a101');
  const layer = (...entries: readonly (readonly [string, Uint8Array])[]) => join(unhex('09'), map(...entries));
  t.equal(failureOf(layer(['Buf', buf], ['Algo', unhex('01')])), 'disguised', 'the algorithm after what it packed');
  t.equal(failureOf(layer(['Buf', buf], ['Buf', buf])), 'disguised');
  t.equal(failureOf(layer(['Algo', unhex('00')], ['Algo', unhex('01')])), 'disguised');
  t.equal(failureOf(layer(['Buf', unhex('9101')])), 'disguised');
  t.equal(failureOf(join(unhex('09 81 93 42 75 66'), buf)), 'disguised');
  const packed = encodeCompress(PUSH_PULL, 0);
  const content = packed.subarray(packed.indexOf(0xda));
  const byPosition = join(unhex('09 93 00'), content, unhex('07'));
  t.strictSame(read([byPosition]).said, ['compressed 0', ...SAID], 'by position it is read');
  t.equal(failureOf(byPosition.subarray(0, -1)), 'truncated', 'to its last entry');
  const more = join(unhex('09 83 a178 9107'), packed.subarray(2, packed.indexOf(0xda)), content);
  t.strictSame(read([more]).said, ['compressed 0', ...SAID], 'unknown fields are skipped');
});

t.test('a bomb behind a message is found, and one behind rubbish', async (t) => {
  const zeros = new Uint8Array(200_000);
  for (const front of [encodeUserStream(bytes(3)), unhex('ff')]) {
    t.equal(failureOf(encodeCompress(join(front, zeros), 0), { expandedBytes: 150_000 }), 'expanded_limit');
  }
});

t.test('total, in any chunking', async (t) => {
  const seeds = ATTACKS.filter((attack) => attack.kind === 'stream')
    .map((attack) => attack.bytes())
    .filter(({ length }) => length < 1000);
  const mutant = fc
    .tuple(fc.constantFrom(PUSH_PULL.subarray(0, 400), ...seeds), fc.nat(), fc.nat(255))
    .map(([seed, at, byte]) => {
      const copy = Uint8Array.from(seed);
      copy[at % copy.length] = byte;
      return copy;
    });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.oneof(mutant, fc.uint8Array({ maxLength: 80 })),
        fc.array(fc.nat(500), { maxLength: 5 }),
        (input, cuts) => {
          const whole = read([input]).progress;
          const cut = read(chunked(input, cuts)).progress;
          return whole.state === cut.state && whole.failure?.reason === cut.failure?.reason;
        },
      ),
      PROPERTY,
    ),
  );
});
