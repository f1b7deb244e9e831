import fc from 'fast-check';
import t from 'tap';
import {
  decodePushPull,
  decodeUserStream,
  encodePushPull,
  encodeUserStream,
  openStream,
  type PushPull,
} from '../../src/wire/push-pull.ts';

const bytes = (...values: number[]) => Buffer.from(values);
const VERSIONS = bytes(1, 5, 2, 2, 5, 4);

/** As hashicorp/go-msgpack v2.1.5 writes memberlist v0.6.0's structs: a join of two nodes with the user state "hello". */
const GOLDEN =
  '0683a44a6f696ec3a54e6f64657302ac5573657253746174654c656e0587a441646472a40a000001ab496e6361726e6174696f6e07a44d657461c0a44e616d65a6626c75652d30a4506f7274cd1f0aa5537461746500a356736ea601050202050487a441646472a40a000002ab496e6361726e6174696f6e09a44d657461c0a44e616d65a6626c75652d31a4506f7274cd1f0aa5537461746503a356736ea601050202050468656c6c6f';
/** The same as memberlist sends it with compression on (the default): Go's compress/lzw inside `9 {Algo, Buf}`. */
const GOLDEN_COMPRESSED =
  '0982a4416c676f00a3427566da009c000d0c22a5e44d1a37c34a397943a6cc1c01acaacc2923670a9d3074ca3029e3a6c0215241c89091434a0100000156257133268c1c3718d3bc7173805493321781917212a64d195362d8d429d3020629286fe4d069f64141298b18cb001865658e1b53010a08105080c0c790234b9e14a092a54b987464ba49601367189d3c7d02154a34c6d1a44b9b3ebd98710055ab58b5722580a60c1b366f0202';

const EXPECTED: PushPull = {
  join: true,
  nodes: [
    { Name: 'blue-0', Addr: bytes(10, 0, 0, 1), Port: 7946, Meta: bytes(), Incarnation: 7, State: 0, Vsn: VERSIONS },
    { Name: 'blue-1', Addr: bytes(10, 0, 0, 2), Port: 7946, Meta: bytes(), Incarnation: 9, State: 3, Vsn: VERSIONS },
  ],
  userState: Buffer.from('hello'),
};

/** Comparable: bytes as hex. */
const flat = (value: PushPull) =>
  JSON.stringify(
    {
      join: value.join,
      nodes: value.nodes.map((node) => Object.entries(node).sort(([a], [b]) => (a < b ? -1 : 1))),
      userState: value.userState,
    },
    (_, v) =>
      v instanceof Uint8Array
        ? Buffer.from(v).toString('hex')
        : v?.type === 'Buffer'
          ? Buffer.from(v.data).toString('hex')
          : v,
  );

t.test('as memberlist writes it, both ways, plain and compressed', async (t) => {
  for (const hex of [GOLDEN, GOLDEN_COMPRESSED]) {
    const opened = openStream(Buffer.from(hex, 'hex'));
    const decoded = opened.ok ? decodePushPull(opened.value.message) : opened;
    t.equal(decoded.ok && flat(decoded.value), flat(EXPECTED));
  }
  t.equal(Buffer.from(encodePushPull(EXPECTED)).toString('hex'), GOLDEN);
});

t.test('every prefix wants more, and says how much', async (t) => {
  for (const hex of [GOLDEN, GOLDEN_COMPRESSED]) {
    const whole = Buffer.from(hex, 'hex');
    for (let size = 0; size < whole.length; size++) {
      const opened = openStream(whole.subarray(0, size));
      const result = opened.ok ? decodePushPull(opened.value.message) : opened;
      if (result.ok || result.reason !== 'truncated' || result.at <= size || result.at > whole.length)
        t.fail(`prefix ${size}`);
    }
  }
  t.equal(openStream(Buffer.from(GOLDEN_COMPRESSED, 'hex')).ok, true);
});

/** `6 {Nodes, UserStateLen, Join}` with five-byte counts of any value. */
const header = (nodes: string, user: string) =>
  Buffer.concat([
    bytes(6, 0x82, 0xa5),
    Buffer.from('Nodes'),
    Buffer.from(nodes, 'hex'),
    bytes(0xac),
    Buffer.from('UserStateLen'),
    Buffer.from(user, 'hex'),
  ]);

t.test('counts that crash or exhaust memberlist before v0.6.0', async (t) => {
  t.match(decodePushPull(header('ff', '00')), { ok: false, reason: 'nodes_limit' }, 'minus one node');
  t.match(decodePushPull(header('d380000000000000ff', '00')), { ok: false, reason: 'field_range' });
  t.match(decodePushPull(header('ce00100001', '00')), { ok: false, reason: 'nodes_limit' }, '1,048,577 nodes');
  t.match(
    decodePushPull(header('ce00100000', '00')),
    { ok: false, reason: 'truncated' },
    '1,048,576 nodes reserve nothing',
  );
  t.match(decodePushPull(header('00', 'ff')), { ok: false, reason: 'user_bytes_limit' });
  t.match(decodePushPull(header('00', 'ce01400001')), { ok: false, reason: 'user_bytes_limit' }, '20 MiB and a byte');
  t.match(decodePushPull(header('02', '00'), 1), { ok: false, reason: 'nodes_limit' }, "the caller's own bound");
  t.match(decodePushPull(bytes(4)), { ok: false, reason: 'type_unexpected' });
  t.match(openStream(bytes(9, 0x80)), { ok: false, reason: 'lzw_truncated' }, 'compress of nothing');
  t.match(openStream(Buffer.from(GOLDEN_COMPRESSED, 'hex'), 10), { ok: false, reason: 'expanded_limit' });
});

t.test('a user message on a stream', async (t) => {
  const sent = encodeUserStream(Buffer.from('hi'));
  t.match(decodeUserStream(sent), { ok: true, value: Buffer.from('hi') });
  t.match(decodeUserStream(sent.subarray(0, sent.length - 1)), { ok: false, reason: 'truncated', at: sent.length });
  t.match(decodeUserStream(sent, 1), { ok: false, reason: 'user_bytes_limit' });
  t.match(decodeUserStream(bytes(6)), { ok: false, reason: 'type_unexpected' });
});

t.test('properties', async (t) => {
  const data = fc.uint8Array({ maxLength: 40 });
  const node = fc.record({
    Name: fc.string({ unit: 'binary', maxLength: 40 }),
    Addr: data,
    Port: fc.integer({ min: 0, max: 65_535 }),
    Meta: data,
    Incarnation: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    State: fc.nat(5),
    Vsn: data,
  });
  const pushPull = fc.record({ join: fc.boolean(), nodes: fc.array(node, { maxLength: 20 }), userState: data });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(pushPull, (value) => {
        const back = decodePushPull(encodePushPull(value));
        return back.ok && flat(back.value) === flat(value);
      }),
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.constantFrom(6, 8, 9), fc.uint8Array({ maxLength: 200 }), (type, rest) => {
        const stream = openStream(Uint8Array.of(type, 0x83, ...rest), 10_000);
        return !stream.ok || typeof decodePushPull(stream.value.message).ok === 'boolean';
      }),
      { numRuns: 1_000 },
    ),
  );
});
