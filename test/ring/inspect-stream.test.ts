/** Streams read for the ring, in any chunking. */
import fc from 'fast-check';
import t from 'tap';
import { EXCERPT_MAX_CHARS } from '../../src/ring/excerpt.ts';
import { createStreamInspection, type StreamBudget } from '../../src/ring/inspect-stream.ts';
import { createRing } from '../../src/ring/ring.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { createKeyring, type Keyring, sealStream } from '../../src/wire/encryption.ts';
import { encodeKvPair, encodeKvRun } from '../../src/wire/kv.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodeProbe } from '../../src/wire/probe.ts';
import { encodePushPull, encodeUserStream } from '../../src/wire/push-pull.ts';
import { chunked, PROPERTY } from '../property.ts';
import { foreignFrame, frame, ping, row, START_MS } from './frames.ts';

const newRing = () =>
  createRing({ startedMs: START_MS, warmUpMs: 0, identity: { cidrs: [], names: [] }, graceMs: 0, proven: () => false });
const KEYRING = createKeyring([new Uint8Array(32).fill(1)]);
const LABEL = Buffer.from('green');
const STREAM = frame({ kind: 'stream', peer: { address: '10.0.0.1', port: 40_000 } });
const OWN = { ...STREAM, labelState: 'own', label: LABEL } as const;
const DSKIT = frame({ kind: 'stream', transport: 'dskit' });
const pair = { key: 'collectors/ring', value: Uint8Array.of(1, 2), codec: 'x', deleted: false, updateTimeMs: 0 };

interface Read {
  readonly source?: FrameSource;
  readonly keyring?: Keyring;
  readonly budget?: StreamBudget;
  readonly complete?: boolean;
}

function read(chunks: readonly Uint8Array[], { source = STREAM, keyring, budget, complete = true }: Read = {}) {
  const ring = newRing();
  const inspection = createStreamInspection(ring, source, keyring, budget);
  const wanted = chunks.map((chunk) => inspection.push(chunk));
  const { excerpt, ...rest } = inspection.end(complete);
  const outcome = { ...rest, excerpt: excerpt() };
  return { ring, wanted, outcome, names: ring.members(START_MS).map(({ name }) => name) };
}

const nodes = [row('a'), row('b', 'alive', '10.0.0.2')];
const table = encodePushPull({ join: true, nodes, userState: new Uint8Array(100) });
const EXCERPT = 'push/pull join 2 members | alive a 10.0.0.1:7946 inc 1 | alive b 10.0.0.2:7946 inc 1';

t.test('a push/pull, its user state not asked for', async (t) => {
  const { wanted, outcome, names } = read([table.subarray(0, 20), table.subarray(20, -90), table.subarray(-90)]);
  t.strictSame(names, ['a', 'b']);
  t.strictSame(outcome, { messages: 2, failures: [], excerpt: EXCERPT });
  t.strictSame(wanted, [true, false, false], 'what only the app reads is not looked at');
});

t.test('of a foreign one that was cut short, the rows that came', async (t) => {
  const { ring, outcome } = read([table.subarray(0, -130)], { source: foreignFrame(), complete: false });
  t.match(ring.foreignTuples(START_MS), [{ name: 'a' }]);
  t.match(outcome, { messages: 1, failures: [], excerpt: /^push\/pull join 2 members \| alive a/ });
  t.match(read([table.subarray(0, -130)]).outcome, { failures: [{ reason: 'truncated' }] }, 'as a whole it is broken');
});

t.test('any chunking gives one result', async (t) => {
  const userState = encodeKvRun([pair, { ...pair, key: 'other' }]);
  const whole = encodePushPull({ join: false, nodes, userState });
  const forms: [Uint8Array, Read][] = [
    [whole, { source: DSKIT }],
    [encodeCompress(whole, 0), { source: DSKIT }],
    [encodeCompress(whole, 1), { source: DSKIT }],
    [sealStream(KEYRING, whole, LABEL, 1, 0), { source: { ...OWN, transport: 'dskit' }, keyring: KEYRING }],
    [sealStream(KEYRING, encodeCompress(whole, 0), new Uint8Array(0), 0, 0), { source: DSKIT, keyring: KEYRING }],
    [encodeUserStream(encodeKvPair(pair)), { source: DSKIT }],
    [encodeMessage(ping('a', 'b')), {}],
    [encodeMessage({ type: 'err', Error: 'remote' }), {}],
  ];
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.constantFrom(...forms), fc.array(fc.nat(), { maxLength: 12 }), ([bytes, how], cuts) => {
        const [once, pieces] = [read([bytes], how), read(chunked(bytes, cuts), how)];
        const facts = ({ ring, outcome, names }: typeof once) =>
          JSON.stringify([outcome, names, ring.instances(START_MS).keys]);
        return facts(once) === facts(pieces) && once.outcome.failures.length === 0 && once.outcome.messages > 0;
      }),
      PROPERTY,
    ),
  );
});

t.test("dskit's pairs: of the user state, and streamed", async (t) => {
  const userState = encodeKvRun([pair, { ...pair, key: 'other' }]);
  const state = read([encodePushPull({ join: false, nodes, userState })], { source: DSKIT });
  t.match(state.ring.instances(START_MS).keys, [{ key: 'collectors/ring' }, { key: 'other' }]);
  const broken = read([encodePushPull({ join: false, nodes, userState: userState.subarray(0, -1) })], {
    source: DSKIT,
  });
  t.match(broken.outcome, { messages: 2, failures: [{ reason: 'truncated' }] });
  const user = read([encodeUserStream(encodeKvPair(pair))], { source: DSKIT });
  t.match(user.ring.instances(START_MS).keys, [{ key: 'collectors/ring' }]);
  t.equal(user.outcome.excerpt, 'user 24 bytes | kv collectors/ring');
  const garbage = read([encodeUserStream(Uint8Array.of(0xff))], { source: DSKIT });
  t.strictSame(garbage.outcome, { messages: 1, failures: [], excerpt: 'user 1 bytes' });
  const cut = read([encodeUserStream(encodeKvPair(pair)).subarray(0, -1)], { source: DSKIT, complete: false });
  t.strictSame(cut.ring.instances(START_MS).keys, [], 'half a pair is none');
  const large = read([encodeUserStream(new Uint8Array(2 * 1024 * 1024))], { source: DSKIT });
  t.match(large, { wanted: [false], outcome: { excerpt: 'user 2097152 bytes' } }, 'not collected');
  t.match(read([encodeUserStream(encodeKvPair(pair))]).wanted, [false], "another app's");
});

t.test('sealed streams', async (t) => {
  const sealed = sealStream(KEYRING, table, LABEL, 1, 0);
  const { ring, outcome, names } = read([sealed], { source: OWN, keyring: KEYRING });
  t.strictSame(names, ['a', 'b']);
  t.equal(outcome.excerpt, EXCERPT);
  t.match(ring.members(START_MS), [{ sealForm: 'label' }, {}]);
  const empty = sealStream(KEYRING, table, new Uint8Array(0), 0, 0);
  t.match(read([empty], { source: OWN, keyring: KEYRING }).ring.members(START_MS), [{ fenced: true }, {}]);

  const unread = (reason: string) => ({ messages: 0, failures: [{ reason }], excerpt: /^encrypted, \d+ bytes$/ });
  t.match(read([sealed], { source: OWN }), { wanted: [false], outcome: unread('no_key') });
  const other = createKeyring([new Uint8Array(32).fill(2)]);
  t.match(read([sealed], { source: OWN, keyring: other }).outcome, unread('no_key'));
  const budget = { maxBytes: 1_000, sealedBytes: 64 };
  t.match(read([sealed], { source: OWN, keyring: KEYRING, budget }).outcome, unread('sealed_limit'));
  t.match(read([sealed.subarray(0, -1)], { source: OWN, keyring: KEYRING }).outcome, unread('truncated'));
  t.match(read([sealed.subarray(0, 3)], { source: OWN, keyring: KEYRING }).outcome, unread('truncated'));
  t.match(read([sealed.subarray(0, 3)], { source: OWN, complete: false }).outcome, { failures: [] });
  const short = sealStream(KEYRING, table.subarray(0, 30), LABEL, 1, 0);
  t.match(read([short], { source: OWN, keyring: KEYRING }).outcome, { failures: [{ reason: 'truncated' }] });
});

t.test('what is no message', async (t) => {
  t.match(read([]).outcome, { messages: 0, failures: [], excerpt: '' }, 'a probe that says nothing');
  t.match(read([new Uint8Array(0)]).wanted, [true]);
  const bad = read([Uint8Array.of(99, 1, 2), Uint8Array.of(3)]);
  t.match(bad, { wanted: [false, false], outcome: { messages: 0, failures: [{}], excerpt: '3 bytes' } });
  const budget = { maxBytes: 30, sealedBytes: 30 };
  t.match(read([table.subarray(0, 20), table.subarray(20)], { budget }), {
    wanted: [true, false],
    outcome: { failures: [{ reason: 'expanded_limit', at: 30 }] },
  });
});

t.test('total on garbage', async (t) => {
  const type = fc.constantFrom(0, 6, 8, 9, 10, 13, 99);
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        type,
        fc.uint8Array({ maxLength: 120 }),
        fc.array(fc.nat(), { maxLength: 4 }),
        fc.boolean(),
        (first, rest, cuts, complete) => {
          const how = { source: DSKIT, keyring: KEYRING, complete };
          const { excerpt, failures } = read(chunked(Uint8Array.of(first, ...rest), cuts), how).outcome;
          return excerpt.length <= EXCERPT_MAX_CHARS && /^[\x20-\x7e]*$/.test(excerpt) && failures.length <= 2;
        },
      ),
      PROPERTY,
    ),
  );
});

t.test("a fence's own ping is no word of the member behind it, sealed or not", async (t) => {
  const seen: string[] = [];
  const ring = newRing();
  ring.frame = (_source, form) => void seen.push(String(form));
  const probe = encodeProbe({ seqNo: 7, node: 'tempo-1' });
  const tell = (bytes: Uint8Array, keyring?: Keyring) => void createStreamInspection(ring, OWN, keyring).push(bytes);
  tell(probe);
  tell(sealStream(KEYRING, probe, LABEL, 1, 0), KEYRING);
  t.strictSame(seen, []);
  tell(encodeMessage(ping('tempo-1')));
  tell(sealStream(KEYRING, encodeMessage(ping('tempo-1')), LABEL, 1, 0), KEYRING);
  tell(sealStream(KEYRING, probe, LABEL, 1, 0), createKeyring([new Uint8Array(32).fill(2)]));
  t.strictSame(seen, ['undefined', 'label', 'undefined'], "members' are, and what no key opens");
});
