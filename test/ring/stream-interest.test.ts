/** Where the bytes pass, and where they are inspected: one answer to how far they are of interest. */
import fc from 'fast-check';
import t from 'tap';
import { createStreamInspection } from '../../src/ring/inspect-stream.ts';
import { createRing } from '../../src/ring/ring.ts';
import { createStreamInterest } from '../../src/ring/stream-interest.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { createKeyring, sealStream } from '../../src/wire/encryption.ts';
import { encodeKvPair, encodeKvRun } from '../../src/wire/kv.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodePushPull, encodeUserStream } from '../../src/wire/push-pull.ts';
import { chunked, PROPERTY } from '../property.ts';
import { frame, ping, row, START_MS } from './frames.ts';

const KEYRING = createKeyring([new Uint8Array(32).fill(1)]);
const NATIVE = frame({ kind: 'stream' });
const DSKIT = frame({ kind: 'stream', transport: 'dskit' });
const PAIR = { key: 'ring', value: Uint8Array.of(1, 2), codec: 'x', deleted: false, updateTimeMs: 0 };

const nodes = [row('a'), row('b', 'alive', '10.0.0.2')];
const rows = encodePushPull({ join: true, nodes, userState: new Uint8Array(500) });
const kv = encodePushPull({ join: true, nodes, userState: encodeKvRun([PAIR, PAIR]) });
const message = encodeMessage(ping('a'));

const STREAMS: readonly Uint8Array[] = [
  rows,
  kv,
  encodePushPull({ join: false, nodes: [], userState: new Uint8Array(0) }),
  encodeUserStream(encodeKvPair(PAIR)),
  encodeUserStream(new Uint8Array(1024 * 1024 + 1)),
  sealStream(KEYRING, rows, new Uint8Array(0), 1, 0),
  message,
  Uint8Array.of(99, 1, 2, 3),
  Uint8Array.of(6, 0xc1, 1, 2, 3),
];

const inspectionOf = (source: typeof NATIVE) =>
  createStreamInspection(
    createRing({
      startedMs: START_MS,
      warmUpMs: 0,
      identity: { cidrs: [], names: [] },
      graceMs: 0,
      proven: () => false,
    }),
    source,
    KEYRING,
  );

t.test('it ends where inspection says that nothing of interest follows, in any chunking', async (t) => {
  for (const [i, stream] of STREAMS.entries()) {
    for (const source of [NATIVE, DSKIT]) {
      const followed = Buffer.concat([stream, Buffer.from('what comes after it')]);
      t.doesNotThrow(
        () =>
          fc.assert(
            fc.property(fc.array(fc.nat(), { maxLength: 8 }), (cuts) => {
              const chunks = chunked(followed, cuts);
              const inspection = inspectionOf(source);
              const interest = createStreamInterest(source);
              const wanted = chunks.map((chunk) => inspection.push(chunk));
              inspection.end(true);
              return chunks.every((chunk, at) => interest.push(chunk) === wanted[at]);
            }),
            { ...PROPERTY, numRuns: 30 },
          ),
        `stream ${i} of ${source.transport}`,
      );
    }
  }
});

t.test('what a table is followed by interests in dskit alone', async (t) => {
  const [head, state] = [rows.subarray(0, -500), rows.subarray(-500)];
  const native = createStreamInterest(NATIVE);
  t.equal(native.push(head.subarray(0, -1)), true);
  t.equal(native.push(new Uint8Array(0)), true);
  t.equal(native.push(head.subarray(-1)), false);
  t.equal(native.push(state), false);
  const dskit = createStreamInterest(DSKIT);
  t.same([dskit.push(head), dskit.push(state.subarray(1)), dskit.push(state.subarray(0, 1))], [true, true, false]);
});

t.test('a compressed message is of interest to its end, and is not unpacked for that', async (t) => {
  const bomb = encodeCompress(encodePushPull({ join: true, nodes, userState: new Uint8Array(8 * 1024 * 1024) }), 0);
  t.ok(bomb.length < 10_000);
  const interest = createStreamInterest(NATIVE);
  for (let i = 0; i < bomb.length; i += 1_000) t.equal(interest.push(bomb.subarray(i, i + 1_000)), true);
  t.equal(interest.push(new Uint8Array(1)), true, 'its end is not known');
});
