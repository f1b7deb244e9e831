import fc from 'fast-check';
import t from 'tap';
import { encodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import {
  advertisedAddress,
  decodeStreamHeader,
  STREAM_HEADER_MAX_BYTES,
  type StreamHeader,
  type StreamHeaderState,
} from '../../src/wire/stream-header.ts';
import type { TransportSetting } from '../../src/wire/transport.ts';
import { chunked, PROPERTY } from '../property.ts';

const DIGEST = Buffer.alloc(16, 7);
const bytes = (...parts: (number | string | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))));
const prefix = (address = '10.0.0.1:7946') => bytes(1, address.length, address);
const labelled = (label: string) => bytes(244, label.length, label);

function decided(state: StreamHeaderState): StreamHeader {
  if (!state.done) throw new Error('the decoder wants more');
  return state.header;
}

/** What a receiver sees of a whole connection: memberlist label.go and dskit handleConnection, over the complete bytes. */
function naive(all: Uint8Array, setting: TransportSetting): Partial<StreamHeader> | undefined {
  const first = all[0];
  if (first === undefined) return undefined;
  if (first === 22) return { transport: 'tls', kind: 'stream', messageType: 22 };
  if (setting !== 'dskit' && [0, 6, 8, 9, 10, 244].includes(first)) return naiveLabel(all, 0, 'native', 'stream');
  if (setting === 'native' || (first !== 1 && first !== 2)) {
    return { transport: 'unknown', malformed: 'stream_unknown_type', messageType: first };
  }
  if (first === 2) return naiveLabel(all, 1, 'dskit', 'stream');
  const labelAt = 2 + (all[1] ?? Number.POSITIVE_INFINITY);
  if (all.length - labelAt < 16 || labelAt > all.length) {
    return { transport: 'dskit', kind: 'packet', malformed: 'dskit_truncated' };
  }
  return naiveLabel(all.subarray(0, all.length - 16), labelAt, 'dskit', 'packet');
}

function naiveLabel(
  all: Uint8Array,
  labelAt: number,
  transport: 'native' | 'dskit',
  kind: 'packet' | 'stream',
): Partial<StreamHeader> {
  const rest = [...all.subarray(labelAt)];
  const place = { transport, kind, labelAt };
  if (rest[0] !== 244) return { ...place, bodyAt: labelAt, label: Uint8Array.of(), messageType: rest[0] };
  if (rest.length < 2) return { ...place, malformed: 'label_truncated' };
  const size = rest[1] ?? 0;
  if (size < 1) return { ...place, malformed: 'label_empty' };
  if (rest.length < 2 + size) return { ...place, malformed: 'label_truncated' };
  if (rest[2 + size] === 244) return { ...place, malformed: 'label_double' };
  const label = Uint8Array.from(rest.slice(2, 2 + size));
  return { ...place, bodyAt: labelAt + 2 + size, label, messageType: rest[2 + size], malformed: undefined };
}

/** The header as it is decided over chunks, and how many bytes that took. */
function arriving(
  chunks: readonly Uint8Array[],
  setting: TransportSetting,
): { state: StreamHeaderState; read: number } {
  let seen = Buffer.alloc(0);
  for (const chunk of chunks) {
    seen = Buffer.concat([seen, chunk]);
    const state = decodeStreamHeader(seen, false, setting);
    if (state.done) return { state, read: seen.length };
  }
  return { state: decodeStreamHeader(seen, true, setting), read: seen.length };
}

t.test('a native stream without a label is decided by its first byte', async (t) => {
  const header = decided(decodeStreamHeader(bytes(6, 131), false, 'auto'));
  t.match(header, { transport: 'native', kind: 'stream', labelAt: 0, bodyAt: 0, messageType: 6, malformed: undefined });
  t.equal(header.label.length, 0);
});

t.test('a native labelled stream waits for the byte after its label, which may be a second header', async (t) => {
  t.strictSame(decodeStreamHeader(labelled('prod'), false, 'auto'), { done: false });
  const header = decided(decodeStreamHeader(bytes(labelled('prod'), 6), false, 'auto'));
  t.match(header, { transport: 'native', labelAt: 0, bodyAt: 6, messageType: 6, malformed: undefined });
  t.equal(Buffer.from(header.label).toString(), 'prod');
  const double = decided(decodeStreamHeader(bytes(labelled('prod'), 244), false, 'auto'));
  t.equal(double.malformed, 'label_double');
  t.equal(double.label.length, 0);
  const alone = decided(decodeStreamHeader(labelled('prod'), true, 'auto'));
  t.match(alone, { malformed: undefined, messageType: undefined, bodyAt: 6 }, 'a label and then the end');
});

t.test('the label is a copy, also of a Buffer', async (t) => {
  const chunk = bytes(labelled('prod'), 6);
  const header = decided(decodeStreamHeader(chunk, false, 'auto'));
  chunk.fill(0);
  t.equal(Buffer.from(header.label).toString(), 'prod');
});

t.test('broken label headers are malformed as soon as that is certain', async (t) => {
  const reason = (chunk: Uint8Array, ended: boolean) => {
    const state = decodeStreamHeader(chunk, ended, 'auto');
    return state.done ? state.header.malformed : 'more';
  };
  t.equal(reason(bytes(244, 0), false), 'label_empty');
  t.equal(reason(bytes(2, 244, 0), false), 'label_empty');
  t.equal(reason(bytes(244), false), 'more');
  t.equal(reason(bytes(244), true), 'label_truncated');
  t.equal(reason(bytes(244, 3, 'ab'), false), 'more');
  t.equal(reason(bytes(244, 3, 'ab'), true), 'label_truncated');
});

t.test('a connection that sent nothing is never decided: it is a probe', async (t) => {
  for (const setting of ['auto', 'native', 'dskit'] as const) {
    t.strictSame(decodeStreamHeader(bytes(), false, setting), { done: false });
    t.strictSame(decodeStreamHeader(bytes(), true, setting), { done: false });
  }
});

t.test('TLS and unknown first bytes are decided at once', async (t) => {
  t.match(decided(decodeStreamHeader(bytes(22, 3, 1), false, 'auto')), { transport: 'tls', malformed: undefined });
  t.match(decided(decodeStreamHeader(bytes('GET / HTTP/1.1'), false, 'auto')), {
    transport: 'unknown',
    malformed: 'stream_unknown_type',
    messageType: 71,
  });
  t.equal(decided(decodeStreamHeader(bytes(2, 6), false, 'native')).transport, 'unknown');
  t.equal(decided(decodeStreamHeader(bytes(6), false, 'dskit')).transport, 'unknown');
});

t.test('a dskit stream carries its label after the type byte', async (t) => {
  t.strictSame(decodeStreamHeader(bytes(2), false, 'auto'), { done: false });
  t.match(decided(decodeStreamHeader(bytes(2), true, 'auto')), { transport: 'dskit', labelAt: 1, bodyAt: 1 });
  const header = decided(decodeStreamHeader(bytes(2, labelled('prod'), 6), false, 'auto'));
  t.match(header, { transport: 'dskit', kind: 'stream', labelAt: 1, bodyAt: 7, messageType: 6 });
});

t.test('a dskit packet shows its advertised address and its label', async (t) => {
  const all = bytes(prefix(), labelled('prod'), 3, 'x', DIGEST);
  const header = decided(decodeStreamHeader(all, false, 'auto'));
  t.match(header, { transport: 'dskit', kind: 'packet', labelAt: 15, bodyAt: 21 });
  t.equal(advertisedAddress(header, all), '10.0.0.1:7946');
  const native = bytes(labelled('prod'), 6);
  t.equal(advertisedAddress(decided(decodeStreamHeader(native, true, 'auto')), native), '', 'of dskit packets alone');
  t.equal(header.messageType, 3);
  t.equal(Buffer.from(header.label).toString(), 'prod');
});

t.test('the digest of a dskit packet is never read as its label', async (t) => {
  const digest = bytes(244, 3, 'abc', 3, Buffer.alloc(10));
  const empty = bytes(prefix(''), digest);
  t.strictSame(decodeStreamHeader(empty, false, 'auto'), { done: false });
  t.match(decided(decodeStreamHeader(empty, true, 'auto')), {
    malformed: undefined,
    bodyAt: 2,
    messageType: undefined,
  });
  const cutLabel = bytes(prefix(''), 244, 5, 'ab', digest);
  t.equal(decided(decodeStreamHeader(cutLabel, true, 'auto')).malformed, 'label_truncated');
});

t.test('a dskit packet shorter than its address and digest is truncated', async (t) => {
  for (const cut of [1, 2, 8, 15, 20, 30]) {
    const part = bytes(prefix(), DIGEST).subarray(0, cut);
    t.strictSame(decodeStreamHeader(part, false, 'auto'), { done: false }, `${cut} bytes so far`);
    t.equal(decided(decodeStreamHeader(part, true, 'auto')).malformed, 'dskit_truncated', `${cut} bytes in all`);
  }
});

/** Connections near the grammar, and garbage. */
const body = fc.uint8Array({ maxLength: 40 });
const header = fc.oneof(
  fc.constant([]),
  fc.uint8Array({ maxLength: 255 }).map((label) => [244, label.length, ...label]),
  fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 8 })).map(([size, label]) => [244, size, ...label]),
);
const start = fc.oneof(
  fc.constantFrom([], [2]),
  fc.uint8Array({ maxLength: 255 }).map((address) => [1, address.length, ...address]),
  fc.tuple(fc.nat(255), fc.nat(255)).map(([first, second]) => [first, second]),
);
const connection = fc
  .tuple(start, header, fc.oneof(fc.constant([]), header), body, fc.constantFrom([], [...DIGEST]))
  .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])));
const setting = fc.constantFrom<TransportSetting>('auto', 'native', 'dskit');

t.test('property: any chunking gives the header that a decoder of the whole connection gives', async (t) => {
  const property = fc.property(connection, setting, fc.array(fc.nat(600), { maxLength: 6 }), (all, how, cuts) => {
    const expected = naive(all, how);
    for (const chunks of [chunked(all, cuts), chunked(all, [...all.keys()]), [all]]) {
      const { state } = arriving(chunks, how);
      if (expected === undefined) return !state.done;
      if (!state.done) return false;
      for (const [field, value] of Object.entries(expected)) {
        const seen = state.header[field as keyof StreamHeader];
        const same = value instanceof Uint8Array ? Buffer.compare(seen as Uint8Array, value) === 0 : seen === value;
        if (!same) throw new Error(`${field}: ${String(seen)} instead of ${String(value)}`);
      }
    }
    return true;
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: no proper prefix of a connection shows another label, and a decision never changes', async (t) => {
  const property = fc.property(connection, setting, fc.nat(600), (all, how, cut) => {
    const before = decodeStreamHeader(all.subarray(0, cut % (all.length + 1)), false, how);
    if (!before.done) return true;
    const after = decodeStreamHeader(all, true, how);
    return after.done && JSON.stringify(before.header) === JSON.stringify(after.header);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: a cut connection shows the label, or none with a reason, but never another one', async (t) => {
  const label = fc.uint8Array({ minLength: 1, maxLength: 255 });
  const property = fc.property(label, fc.constantFrom([], [2]), fc.nat(600), (own, lead, cut) => {
    const whole = Uint8Array.from([...lead, 244, own.length, ...own, 6, 1, 2, 3]);
    const at = 1 + (cut % whole.length);
    const seen = decided(decodeStreamHeader(whole.subarray(0, at), true, 'auto'));
    if (at <= lead.length) return seen.label.length === 0 && seen.malformed === undefined;
    if (at < lead.length + 2 + own.length) return seen.malformed === 'label_truncated' && seen.label.length === 0;
    return Buffer.compare(seen.label, own) === 0;
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: the named bound is enough to decide any connection', async (t) => {
  const lead = fc.constantFrom([1, 255], [2, 244, 255], [244, 255], [1, 0, 244, 255], [1]);
  const property = fc.property(lead, fc.uint8Array({ minLength: 600, maxLength: 600 }), (head, rest) => {
    const all = Uint8Array.from([...head, ...rest]).subarray(0, STREAM_HEADER_MAX_BYTES);
    return decodeStreamHeader(all, false, 'auto').done;
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
  const longest = bytes(1, 255, Buffer.alloc(255), 244, 255, Buffer.alloc(255, 97), 3, DIGEST);
  t.equal(longest.length, STREAM_HEADER_MAX_BYTES);
  t.strictSame(decodeStreamHeader(longest.subarray(0, -1), false, 'auto'), { done: false }, 'and it is tight');
});

t.test('Alertmanager: a STREAM frame is a prefix, and what is none is malformed', async (t) => {
  const frame = encodeAlertmanagerFrame({ kind: 'stream', from: '', msg: bytes() });
  const at = frame.length;
  const place = { transport: 'alertmanager', kind: 'stream', labelAt: at } as const;
  const cases: readonly (readonly [string, Uint8Array, Partial<StreamHeader>])[] = [
    [
      'labelled',
      bytes(frame, labelled('ab'), 6, 1),
      { ...place, bodyAt: at + 4, messageType: 6, malformed: undefined },
    ],
    ['unlabelled', bytes(frame, 6, 1), { ...place, bodyAt: at, messageType: 6, malformed: undefined }],
    ['nothing after it', frame, { ...place, bodyAt: at, messageType: undefined, malformed: undefined }],
    ['two labels', bytes(frame, labelled('ab'), 244), { ...place, malformed: 'label_double' }],
    ['cut in its label', bytes(frame, 244, 9), { ...place, malformed: 'label_truncated' }],
    [
      'cut in its frame',
      frame.subarray(0, 9),
      { transport: 'alertmanager', labelAt: 0, malformed: 'alertmanager_malformed' },
    ],
    [
      'too long',
      bytes(255, 255, 255, 255),
      { transport: 'alertmanager', labelAt: 0, malformed: 'alertmanager_oversize' },
    ],
    [
      'packets',
      encodeAlertmanagerFrame({ kind: 'packet', from: 'a:1', msg: bytes(8) }),
      { kind: 'packet', malformed: 'alertmanager_malformed' },
    ],
    [
      'a native stream',
      bytes(6, 0, 0, 0, 1, 2, 3, 4, 5, 6),
      { transport: 'alertmanager', malformed: 'alertmanager_malformed' },
    ],
  ];
  for (const [name, all, expected] of cases) {
    t.match(decided(arriving([all], 'alertmanager').state), expected, name);
    const single = Array.from(all, (byte) => bytes(byte));
    t.strictSame(
      arriving(single, 'alertmanager').state,
      arriving([all], 'alertmanager').state,
      `${name}, byte by byte`,
    );
  }
});
