import fc from 'fast-check';
import { compress } from 'snappyjs';
import t from 'tap';
import { RING_ENTRIES_MAX } from '../../src/wire/limits.ts';
import { encodeProto, encodeVarint, type ProtoField } from '../../src/wire/protobuf.ts';
import {
  decodePartitionRing,
  decodeRingDesc,
  INSTANCE_STATES,
  OWNER_STATES,
  PARTITION_RING_CODEC,
  PARTITION_STATES,
  RING_CODEC,
} from '../../src/wire/ring-desc.ts';
import { PROPERTY } from '../property.ts';

const packed = (...numbers: number[]) => Buffer.concat(numbers.map(encodeVarint));
const pack = (...fields: ProtoField[]) => compress(Uint8Array.from(encodeProto(fields)));
const entry = (key: string | number, value: ProtoField[]) =>
  encodeProto([
    [1, key],
    [2, encodeProto(value)],
  ]);
const ring = (...entries: Uint8Array[]) => pack(...entries.map((one): ProtoField => [1, one]));
const ZERO = { address: '', zone: '', state: 'ACTIVE', timestamp: 0, registered: 0, readOnly: false, tokens: 0 };

t.test('instances with everything that they say', async (t) => {
  const fields: ProtoField[] = [
    ...([
      [1, '10.1.0.1:9095'],
      [2, 1_700_000_000],
      [3, 2],
      [6, packed(1, 300, 4_000_000_000)],
      [6, 7],
    ] as ProtoField[]),
    ...([
      [7, 'zone-a'],
      [8, 1_600_000_000],
      [9, 'another id'],
      [10, 5],
      [11, true],
      [12, packed(8, 1)],
    ] as ProtoField[]),
  ];
  t.strictSame(decodeRingDesc(RING_CODEC, ring(entry('ingester-0', fields), entry('ingester-1', []))), {
    ok: true,
    value: [
      {
        id: 'ingester-0',
        address: '10.1.0.1:9095',
        zone: 'zone-a',
        state: 'PENDING',
        timestamp: 1_700_000_000,
        registered: 1_600_000_000,
        readOnly: true,
        tokens: 4,
      },
      { ...ZERO, id: 'ingester-1' },
    ],
  });
  t.strictSame(decodeRingDesc(RING_CODEC, ring()), { ok: true, value: [] }, 'an empty ring');
});

t.test('states by number; a number of later releases is unknown', async (t) => {
  const states = [0, 1, 2, 3, 4, 5, -1].map((n) => {
    const read = decodeRingDesc(RING_CODEC, ring(entry('a', [[3, n]])));
    return read.ok && read.value[0]?.state;
  });
  t.strictSame(states, [...INSTANCE_STATES, 'unknown', 'unknown']);
});

t.test('maps as gogo reads them: the last entry of a key counts whole, keys and values may be absent', async (t) => {
  const twice = ring(
    entry('a', [
      [1, 'old'],
      [7, 'zone-old'],
    ]),
    entry('a', [[1, 'new']]),
  );
  t.strictSame(decodeRingDesc(RING_CODEC, twice), { ok: true, value: [{ ...ZERO, id: 'a', address: 'new' }] });
  const bare = ring(
    encodeProto([[2, encodeProto([[1, 'x']])]]),
    encodeProto([[1, 'b']]),
    encodeProto([
      [5, 1],
      [1, 'c'],
    ]),
  );
  t.strictSame(decodeRingDesc(RING_CODEC, bare), {
    ok: true,
    value: [
      { ...ZERO, id: '', address: 'x' },
      { ...ZERO, id: 'b' },
      { ...ZERO, id: 'c' },
    ],
  });
});

t.test('what nothing shows is read too: dskit drops a ring that it cannot read whole', async (t) => {
  const fields: ProtoField[] = [
    [9, 5],
    [10, 'x'],
    [12, 7],
    [12, packed(8)],
  ];
  for (const field of fields) {
    const read = decodeRingDesc(RING_CODEC, ring(entry('a', [field])));
    t.match(read, { ok: false, reason: /^protobuf_/ }, `${field}`);
  }
  for (const field of [
    [4, 'x'],
    [5, 'x'],
    [6, 'x'],
  ] as ProtoField[]) {
    const read = decodePartitionRing(PARTITION_RING_CODEC, pack([1, entry(1, [field])]));
    t.match(read, { ok: false, reason: 'protobuf_invalid' }, `${field}`);
  }
  const numbers = pack([
    1,
    encodeProto([
      [1, 1],
      [1, 2],
      [2, encodeProto([[3, 5]])],
    ]),
  ]);
  t.match(
    decodePartitionRing(PARTITION_RING_CODEC, numbers),
    { ok: true, value: { partitions: [{ id: 3, timestamp: 5 }] } },
    'a key that is said twice is both, bit by bit',
  );
});

t.test('partitions and owners', async (t) => {
  const value = pack(
    [
      1,
      entry(3, [
        [1, packed(1, 2, 3)],
        [2, 2],
        [3, 1_700_000_000],
        [4, 3],
        [5, true],
      ]),
    ],
    [1, entry(4, [[2, 9]])],
    [
      2,
      entry('live-store-0', [
        [1, 3],
        [2, 1],
        [3, 1_700_000_001],
      ]),
    ],
    [2, entry('live-store-1', [[2, 9]])],
    [7, 1],
  );
  t.strictSame(decodePartitionRing(PARTITION_RING_CODEC, value), {
    ok: true,
    value: {
      partitions: [
        { id: 3, state: 'active', timestamp: 1_700_000_000, tokens: 3 },
        { id: 4, state: 'unknown', timestamp: 0, tokens: 0 },
      ],
      owners: [
        { id: 'live-store-0', partition: 3, state: 'active', timestamp: 1_700_000_001 },
        { id: 'live-store-1', partition: 0, state: 'unknown', timestamp: 0 },
      ],
    },
  });
  t.equal(PARTITION_STATES.length, 5);
  t.equal(OWNER_STATES.length, 3);
});

t.test('what cannot be read', async (t) => {
  for (const decode of [
    (codec: string, value: Uint8Array, max?: number) =>
      decodeRingDesc(codec === 'own' ? RING_CODEC : codec, value, max),
    (codec: string, value: Uint8Array, max?: number) =>
      decodePartitionRing(codec === 'own' ? PARTITION_RING_CODEC : codec, value, max),
  ]) {
    t.strictSame(decode('string', ring()), { ok: false, reason: 'type_unexpected', at: 0 });
    t.match(decode('own', new Uint8Array(0)), { ok: false, reason: 'snappy_corrupt' });
    t.match(decode('own', compress(new Uint8Array(101)), 100), { ok: false, reason: 'expanded_limit' });
    for (const broken of [[0x0a], [0x08, 0x01], [0x0a, 0x02, 0x12, 0x50], [0x0a, 0x03, 0x12, 0x01, 0x80]]) {
      t.match(decode('own', compress(Uint8Array.from(broken))), { ok: false, reason: /^protobuf_/ }, `${broken}`);
    }
  }
});

t.test('entries are bounded', async (t) => {
  const many = (count: number) => {
    const parts = Array.from({ length: count }, (_, i) => encodeProto([[1, encodeProto([[1, `i${i}`]])]]));
    return compress(Uint8Array.from(Buffer.concat(parts)));
  };
  const most = decodeRingDesc(RING_CODEC, many(RING_ENTRIES_MAX));
  t.equal(most.ok && most.value.length, RING_ENTRIES_MAX);
  t.match(decodeRingDesc(RING_CODEC, many(RING_ENTRIES_MAX + 1)), { ok: false, reason: 'entries_limit' });
  const same = new Array(RING_ENTRIES_MAX + 10).fill(encodeProto([[1, encodeProto([[1, 'i']])]]));
  t.match(decodeRingDesc(RING_CODEC, compress(Uint8Array.from(Buffer.concat(same)))), {
    ok: true,
    value: { length: 1 },
  });
});

t.test('total on garbage', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        for (const value of [bytes, compress(bytes), ring(bytes), ring(entry('a', [[2, 1]]), bytes)]) {
          decodeRingDesc(RING_CODEC, value);
          decodePartitionRing(PARTITION_RING_CODEC, value);
        }
        return true;
      }),
      PROPERTY,
    ),
  );
});
