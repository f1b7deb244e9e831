/** What inspect makes of captures that are made byte by byte: tables, findings, problems, notes. */
import fc from 'fast-check';
import t from 'tap';
import { FLOWS_MAX, LABELS_MAX, PROBLEMS_MAX } from '../../src/cli/inspect-bounds.ts';
import { parsePorts } from '../../src/cli/inspect-ports.ts';
import type { Report } from '../../src/cli/inspect-report.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { createKeyring, sealPacket, sealStream } from '../../src/wire/encryption.ts';
import { encodeErrorFrame } from '../../src/wire/error-frame.ts';
import { encodeKvPair, encodeKvRun } from '../../src/wire/kv.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { PROPERTY } from '../property.ts';
import { alive, capture, datagram, dskitPacket, exchange, inspected, labelled, ping, pushPull } from './inspect-kit.ts';

type Row = ReturnType<typeof datagram>;

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const at = (address: string) => `${address}:7946`;
const sentences = ({ findings }: Report) => findings.map(({ kind, sentence }) => `${kind}: ${sentence}`);

t.test('flows, labels, members and decoded frames', async (t) => {
  const { report, lines } = inspected(
    capture(
      datagram(A, B, labelled('blue', encodeCompound([ping(1, 'b'), alive('a', A, 7_946, 7)]))),
      datagram(B, A, labelled('blue', alive('b', B))),
      datagram(B, A, labelled('blue', encodeMessage({ type: 'dead', Incarnation: 7, Node: 'a', From: 'b' }))),
      exchange(
        A,
        B,
        labelled(
          'blue',
          pushPull(
            [
              ['a', A],
              ['c', C],
            ],
            true,
          ),
        ),
        pushPull([['b', B]]),
      ),
    ),
  );
  t.match(report.labels, [{ label: 'blue', frames: 4, members: 3, senders: [at(A), at(B)] }]);
  t.match(report.flows, [
    { protocol: 'udp', source: at(B), destination: at(A), frames: 2, kinds: { alive: 1, dead: 1 }, encrypted: 'no' },
    { protocol: 'udp', source: at(A), destination: at(B), frames: 1, kinds: { ping: 1, alive: 1 } },
    {
      protocol: 'tcp',
      source: A,
      destination: at(B),
      transport: 'native',
      label: 'blue',
      frames: 1,
      kinds: { pushPull: 2 },
    },
  ]);
  t.match(
    report.members.toSorted((x, y) => (x.name < y.name ? -1 : 1)),
    [
      {
        name: 'a',
        address: A,
        state: 'dead',
        incarnation: 7,
        versions: '1-5 (2), delegate 2-5 (4)',
        label: 'blue',
        labels: ['blue'],
      },
      { name: 'b', address: B, state: 'alive' },
      { name: 'c', address: C, state: 'alive' },
    ],
  );
  t.strictSame([report.findings, report.problems, report.capture.notes], [[], [], []]);
  t.match(lines, [
    { frame: 1, protocol: 'udp', label: 'blue', text: 'ping 1 of b | alive a 10.0.0.1:7946 incarnation 7' },
    { text: 'alive b 10.0.0.2:7946 incarnation 1' },
    { text: 'dead a incarnation 7 by b' },
    {
      protocol: 'tcp',
      text: 'joining push/pull of 2 nodes, 0 bytes of state | answer: push/pull of 1 nodes, 0 bytes of state',
    },
  ]);
});

t.test('dskit: pairs out of packets and of states, digests', async (t) => {
  const pair = { key: 'ring', value: Buffer.from('x'), codec: 'other', deleted: false, updateTimeMs: 0 };
  const user = Buffer.concat([Uint8Array.of(8), encodeKvPair(pair)]);
  const run = encodeKvRun([{ ...pair, key: 'state' }]);
  const { report } = inspected(
    capture(
      exchange(A, B, dskitPacket(at(A), labelled('blue', user))),
      exchange(A, B, dskitPacket(at(A), labelled('blue', ping(1)), Buffer.alloc(16))),
      exchange(A, B, Buffer.concat([Uint8Array.of(2), labelled('blue', pushPull([['a', A]], false, run))])),
      exchange(A, B, dskitPacket(at(A), new Uint8Array(0)).subarray(0, 20)),
    ),
  );
  t.match(report.keys.map(({ key, codec, label }) => `${key} ${codec} ${label}`).toSorted(), [
    'ring other blue',
    'state other blue',
  ]);
  t.match(report.problems, [
    { reason: 'digest', count: 1 },
    { reason: 'dskit_truncated', count: 1 },
  ]);
  t.match(report.labels, [{ label: 'blue', frames: 3, senders: [at(A)] }]);
});

t.test('findings: what touches is named with its evidence', async (t) => {
  const merged = inspected(
    capture(datagram(A, C, labelled('blue', alive('x', C))), datagram(B, C, labelled('green', alive('x', C)))),
  );
  t.strictSame(sentences(merged.report), [
    'merged_tuple: x at 10.0.0.3:7946 is gossiped alive with label "blue" and label "green": the rings have merged, or one member serves both',
  ]);
  t.match(merged.findings[0]?.evidence, [
    { frame: 1, at: '2026-11-22T14:00:00.000Z', from: at(A), label: 'blue', what: 'alive' },
    { frame: 2, at: '2026-11-22T14:00:00.001Z', from: at(B), label: 'green', what: 'alive' },
  ]);
  const cases: readonly [string, Buffer, readonly string[]][] = [
    [
      'one sender, two labels',
      capture(datagram(A, B, labelled('blue', ping(1))), datagram(A, B, labelled('green', ping(1)))),
      [`two_labels: ${at(A)} sends with label "blue" and with label "green"`],
    ],
    [
      'labelled and not',
      capture(datagram(A, B, ping(1)), datagram(A, B, labelled('blue', ping(1)))),
      [`labelled_and_not: ${at(A)} sends with no label and with label "blue"`],
    ],
    [
      'unlabelled frames reach a labelled member, known before',
      capture(datagram(A, C, labelled('blue', ping(1))), datagram(B, A, ping(1)), datagram(B, A, ping(2))),
      [`crosses_labels: frames with no label from ${at(B)} reach ${at(A)}, which sends with label "blue"`],
    ],
    [
      'and one that shows its label only later',
      capture(datagram(B, A, ping(1)), datagram(A, C, labelled('blue', ping(1)))),
      [`crosses_labels: frames with no label from ${at(B)} reach ${at(A)}, which sends with label "blue"`],
    ],
    [
      'an answer across labels',
      capture(
        datagram(B, C, labelled('green', ping(1))),
        exchange(A, B, labelled('blue', pushPull([['a', A]])), pushPull([['b', B]])),
      ),
      [
        `crosses_labels: frames with label "blue" from ${at(A)} reach ${at(B)}, which sends with label "green"`,
        `answered_across_labels: ${at(B)}, which sends with label "green", answered a push/pull with label "blue": its members are now known there`,
      ],
    ],
    [
      'an answer of one that shows its label only later',
      capture(exchange(A, B, pushPull([['a', A]]), pushPull([['b', B]])), datagram(B, C, labelled('green', ping(1)))),
      [
        `crosses_labels: frames with no label from ${at(A)} reach ${at(B)}, which sends with label "green"`,
        `answered_across_labels: ${at(B)}, which sends with label "green", answered a push/pull with no label: its members are now known there`,
      ],
    ],
    [
      'a refusal is no answer',
      capture(
        datagram(B, C, labelled('green', ping(1))),
        exchange(A, B, labelled('blue', pushPull([])), encodeErrorFrame('no')),
      ),
      [`crosses_labels: frames with label "blue" from ${at(A)} reach ${at(B)}, which sends with label "green"`],
    ],
    [
      'one name in turns',
      capture(...[A, B, A].map((address) => datagram(C, C, alive('x', address)))),
      [
        `name_at_two_addresses: x is alive at ${at(A)} and at ${at(B)} in turns, under no label: two members have one name`,
      ],
    ],
    [
      'a restart at a new address is none',
      capture(...[A, A, B, B].map((address) => datagram(C, C, alive('x', address)))),
      [],
    ],
    [
      'rings beside each other are none',
      capture(datagram(A, B, labelled('blue', ping(1))), datagram(C, C, labelled('green', ping(1)))),
      [],
    ],
    [
      'a dialler on the same host is nobody',
      capture(exchange(A, A, labelled('blue', ping(1))), exchange(A, A, labelled('green', ping(1)))),
      [],
    ],
  ];
  for (const [name, file, expected] of cases) {
    const { report, findings } = inspected(file);
    t.strictSame(sentences(report), expected, name);
    t.strictSame(findings, report.findings, 'each was told when it was proven');
  }
});

t.test('malformed, harmful and unreadable frames', async (t) => {
  const { report, lines } = inspected(
    capture(
      datagram(A, B, Buffer.from('f400', 'hex')),
      datagram(A, B, Buffer.from('07010000', 'hex')),
      datagram(A, B, Buffer.from('07010000', 'hex')),
      datagram(A, B, Buffer.from('63', 'hex')),
      exchange(A, B, Buffer.from('0683a54e6f646573ff', 'hex')),
      exchange(A, B, Buffer.from('0683a54e6f646573d1ffffac5573657253746174654c656e00a44a6f696ec2', 'hex')),
      exchange(A, B, Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    ),
  );
  const found = report.problems.map(({ reason, count, first }) => `${reason} ${count} @${first.frame}`);
  for (const expected of [
    'label_empty 1 @1',
    'shield_empty_message 2 @2',
    'type_unknown 1 @4',
    'shield_bad_length 1 @14',
    'stream_unknown_type 1 @19',
  ]) {
    t.ok(found.includes(expected), `${expected} in ${found.join(', ')}`);
  }
  for (const { sentence } of report.problems) t.match(sentence, /\w \w.*\.$/);
  t.match(lines[1], { text: /^HARMFUL: shield_empty_message \| unreadable: empty$/ });
});

t.test('encryption: with keys it is read, without it is said', async (t) => {
  const key = Buffer.alloc(32, 7);
  const keyring = createKeyring([key]);
  const label = Buffer.from('blue');
  const sealed = (aad: Uint8Array, version: 0 | 1) =>
    labelled('blue', sealPacket(keyring, alive('a', A), aad, version, 0));
  const stream = labelled('blue', sealStream(keyring, pushPull([['b', B]]), label, 1, 0));
  const answer = sealStream(keyring, pushPull([['c', C]]), label, 1, 0);
  const harmful = labelled('blue', sealPacket(keyring, new Uint8Array(0), label, 1, 0));
  const file = capture(
    datagram(A, B, sealed(label, 1)),
    datagram(A, B, sealed(new Uint8Array(0), 0)),
    exchange(A, B, stream, answer),
    datagram(B, A, harmful),
  );
  const opened = inspected(file, { keyring }).report;
  t.strictSame(opened.members.map(({ name }) => name).toSorted(), ['a', 'b', 'c']);
  t.match(opened.problems, [{ reason: 'shield_empty_plaintext', source: at(B) }]);
  t.ok(opened.flows.every(({ encrypted }) => encrypted === 'opened'));
  const shut = inspected(file).report;
  t.strictSame(shut.members, []);
  t.match(shut.labels, [{ label: 'blue', frames: 4 }], 'labels are seen nevertheless');
  t.strictSame(shut.capture.notes, [
    '4 frames are encrypted and no key opens them: give the gossip keys with --key-file',
  ]);
  t.strictSame(inspected(file, { keyring: createKeyring([Buffer.alloc(16)]) }).report.members, []);
});

t.test('what the capture lacks is said', async (t) => {
  const whole = exchange(A, B, pushPull([['a', A]]));
  const [first, , ...rest] = whole;
  const notes = (...records: readonly (Row | readonly Row[])[]) => inspected(capture(...records)).report.capture.notes;
  t.match(notes(rest), [/^1 TCP connections began before the capture/]);
  t.match(notes(whole.filter((_, i) => i !== 2)), [/^1 TCP exchanges lack bytes/]);
  const cut = datagram(A, B, labelled('blue', ping(1)));
  const report = inspected(capture({ bytes: cut.bytes.subarray(0, 50), wireBytes: cut.bytes.length })).report;
  t.match(report.capture.notes, [/^a snapshot length cut 1 frames/]);
  t.match(
    report,
    { labels: [{ label: 'blue' }], problems: [{ reason: 'cut' }], members: [] },
    'the label can still be told',
  );
  t.match(notes(exchange(A, B, Buffer.from([22, 3, 1, 0, 0]))), [/^1 connections are TLS/]);
  t.match(notes(datagram(A, B, ping(1), 9_094)), ['no gossip on port 7946; most frames are on port 9094 (1) (--port)']);
  t.match(notes({ bytes: Buffer.alloc(14) }), ['no gossip on port 7946 (--port)']);
  const file = capture(first ?? whole);
  t.match(inspected(file.subarray(0, -1)).report.capture.notes, [/^the last record is cut short: \d+ bytes/]);
  const broken = Buffer.concat([capture(datagram(A, B, ping(1))), Buffer.alloc(16, 255)]);
  t.match(inspected(broken).report, {
    members: [],
    flows: [{ frames: 1 }],
    capture: { notes: [/^reading stopped at byte \d+: a pcap record/] },
  });
});

t.test('only one label; any port', async (t) => {
  const file = capture(
    datagram(A, B, labelled('blue', alive('a', A)), 9_999),
    datagram(B, A, alive('b', B), 53),
    datagram(C, A, Buffer.from('no gossip at all'), 53),
    datagram(C, A, Uint8Array.of(8, 1, 2), 53),
    exchange(C, A, Buffer.from('\x08 like a user message'), undefined, 80),
    exchange(C, A, pushPull([['c', C]]), undefined, 8_080),
  );
  const any = inspected(file, { ports: ['any'] }).report;
  t.strictSame(any.members.map(({ name }) => name).toSorted(), ['a', 'b', 'c']);
  t.strictSame([any.problems, any.flows.length], [[], 3], 'what is surely gossip, and nothing else');
  t.strictSame(inspected(file, { ports: ['9999', '53,80'] }).report.members.length, 2);
  const blue = inspected(file, { ports: ['any'], label: 'blue' }).report;
  t.match([blue.members.map(({ name }) => name), blue.flows.length, blue.labels.length], [['a'], 1, 1]);
  const none = inspected(file, { ports: ['any'], label: null }).report;
  t.strictSame(none.members.map(({ name }) => name).toSorted(), ['b', 'c']);
  for (const [wrong, why] of [
    ['0', /no port: 0/],
    ['x', /no port: x/],
    ['65536', /no port/],
    ['1,,2', /no port: $/],
  ] as const) {
    t.match(parsePorts([wrong]), why);
  }
  t.match(parsePorts([Array.from({ length: 65 }, (_, i) => i + 1).join(',')]), /at most 64 ports/);
});

t.test('attackers fill no table and no terminal', async (t) => {
  const records = Array.from({ length: LABELS_MAX + 5 }, (_, i) =>
    datagram(A, B, labelled(`label ${i}`, alive(`n${i}`, A))),
  );
  const { report } = inspected(capture(records));
  t.equal(report.labels.length, LABELS_MAX);
  t.match(report.capture.notes, [
    /^5 frames have labels beyond/,
    /^\d+ messages have labels beyond/,
    /left out to bound memory$/,
  ]);
  const evil = inspected(capture(datagram(A, B, labelled('\x1b[2J\n', alive('\x1b]0;x\x07"\\', A)))));
  const text = JSON.stringify([evil.report, evil.lines]);
  t.notMatch(text, /\\u00|\\n/);
  t.match([evil.report.labels[0]?.label, evil.report.members[0]?.name], ['\\x1b[2J\\x0a', '\\x1b]0;x\\x07\\x22\\x5c']);
  const senders = Array.from({ length: PROBLEMS_MAX + 3 }, (_, i) =>
    datagram(`10.9.${i >> 8}.${i & 255}`, B, Uint8Array.of(99)),
  );
  const flood = inspected(capture(senders)).report;
  t.strictSame([flood.problems.length, flood.flows.length], [PROBLEMS_MAX, PROBLEMS_MAX + 3]);
  t.match(flood.capture.notes, ['3 problems are not listed']);
  t.ok(FLOWS_MAX > PROBLEMS_MAX);
});

t.test('property: any payloads give a report', async (t) => {
  const head = fc.constantFrom(
    '',
    'f404626c7565',
    '07',
    '0c00000000',
    '09',
    '06',
    '0a',
    '02f404626c7565',
    '01',
    '00',
    '16',
  );
  const payload = fc
    .tuple(head, fc.uint8Array({ maxLength: 60 }))
    .map(([hex, rest]) => Buffer.concat([Buffer.from(hex, 'hex'), rest]));
  const frame = fc.oneof(
    payload.map((bytes) => [datagram(A, B, bytes)]),
    fc
      .tuple(payload, payload, fc.nat(7))
      .map(([ask, answer, drop]) => exchange(A, B, ask, answer).filter((_, i) => i !== drop + 2)),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), fc.boolean(), (frames, any) => {
        const { report } = inspected(capture(...frames), {
          ports: any ? ['any'] : [],
          keyring: createKeyring([Buffer.alloc(16)]),
        });
        JSON.stringify(report);
        return report.capture.counts.frames === frames.flat().length;
      }),
      { ...PROPERTY, numRuns: Math.min(PROPERTY.numRuns, 500) },
    ),
  );
});
