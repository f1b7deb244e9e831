import t from 'tap';
import { COMPRESS_ALGORITHM, encodeCompress } from '../../src/wire/compress.ts';
import { createKeyring, sealStream } from '../../src/wire/encryption.ts';
import { encodeErrorFrame } from '../../src/wire/error-frame.ts';
import { encodePushPull } from '../../src/wire/push-pull.ts';
import { readSealedAnswer } from '../../src/wire/sealed-refusal.ts';

const KEYS = createKeyring([new Uint8Array(32).fill(7)]);
const LABEL = Buffer.from('prod');

/** The three ways in which members write a message, sealed. */
function sealed(plain: Uint8Array, version: 0 | 1 = 1): Uint8Array[] {
  const forms = [
    plain,
    encodeCompress(plain, COMPRESS_ALGORITHM.lzw),
    encodeCompress(plain, COMPRESS_ALGORITHM.snappy),
  ];
  return forms.map((form) => sealStream(KEYS, form, LABEL, version, 0));
}

const verdicts = (plain: Uint8Array, version?: 0 | 1) => new Set(sealed(plain, version).map(readSealedAnswer));

t.test('a refusal is told by its length, sealed by a key that nobody here has', async (t) => {
  for (const first of ['N', 'n']) {
    const plain = encodeErrorFrame(`${first}o installed keys could decrypt the message`);
    t.strictSame(verdicts(plain), new Set(['refused']));
    t.strictSame(verdicts(plain, 0), new Set(['unknown']), 'padding makes unlike answers alike');
  }
  // Read off members v0.2.2 and v0.6.0 with and without compression (test/interop/sealed-refusal.test.ts).
  for (const bytes of [0x53, 0x6a]) {
    t.equal(readSealedAnswer(Uint8Array.of(10, 0, 0, 0, bytes, 1)), 'refused', `${bytes} bytes after the header`);
  }
});

t.test('a push/pull says that the request was opened, and what could be another error says nothing', async (t) => {
  const row = (Name: string) => ({
    ...{ Name, Addr: Uint8Array.of(10, 0, 0, 1), Port: 7946, Meta: new Uint8Array(0), Incarnation: 1, State: 0 },
    Vsn: Uint8Array.of(1, 5, 2, 2, 5, 4),
  });
  const state = (...names: string[]) =>
    encodePushPull({ join: false, nodes: names.map(row), userState: new Uint8Array(0) });
  t.strictSame(verdicts(state('ingester-0.traces', 'ingester-1.traces', 'querier-7d9f.traces')), new Set(['opened']));
  t.notOk(verdicts(state('a')).has('refused'), 'the shortest push/pull is no refusal');
  for (const first of ['E', 'e']) {
    const other = `${first}ncryption is configured but remote state is not encrypted`;
    t.strictSame(verdicts(encodeErrorFrame(other)), new Set(['unknown']), 'an error about something else');
  }
  t.strictSame(verdicts(Buffer.from('0282a55365714e6f01a75061796c6f6164a0', 'hex')), new Set(['unknown']), 'an ack');
});

t.test('as long as the length is not there, nothing is said', async (t) => {
  for (let bytes = 0; bytes < 6; bytes++) {
    t.equal(readSealedAnswer(Uint8Array.of(10, 0, 0, 0, 0x53, 1).subarray(0, bytes)), 'unknown');
  }
});
