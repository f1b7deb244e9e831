/** Key-value pairs and rings with bytes changed: the wire layer reads those that dskit reads, as dskit reads them, and no others. */
import { compress } from 'snappyjs';
import t from 'tap';
import { decodeKvPair, encodeKvPair } from '../../src/wire/kv.ts';
import { decodeSnappy } from '../../src/wire/snappy.ts';
import { encodeText } from '../../src/wire/text.ts';
import { requireTools } from '../lab/tools.ts';
import { DOCUMENTS, readPairs, unhex, value } from '../wire/golden.ts';
import { readInGo, type Written } from './read-in-go.ts';

const skip = requireTools(['go']);
const BUILD_TIMEOUT_MS = 300_000;

/** A small generator of its own, so that a failing case can be had again: mulberry32. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
const SPECIAL = [0, 1, 2, 8, 0x0a, 0x12, 0x62, 0x7f, 0x80, 0xff];

/** One to three bytes changed, inserted, repeated or taken out. */
function mutate(bytes: Uint8Array, below: (n: number) => number): Uint8Array {
  const out = [...bytes];
  for (let left = 1 + below(3); left > 0; left--) {
    const at = below(out.length);
    const what = below(8);
    if (what === 0) out.splice(at, 1 + below(3));
    else if (what === 1) out.splice(at, 0, ...out.slice(at, at + below(12)));
    else if (what === 2) out.splice(at, 0, SPECIAL[below(SPECIAL.length)] ?? 0);
    else out[at] = below(2) === 0 ? below(256) : (out[at] ?? 0) ^ (1 << below(8));
  }
  return Uint8Array.from(out);
}

/** Facts that JSON can compare: Go writes bytes that are not UTF-8 as U+FFFD, once or several times. */
function comparable(fact: unknown): unknown {
  if (typeof fact === 'string')
    return Buffer.from(encodeText(fact))
      .toString('utf8')
      .replace(/\ufffd+/g, '\ufffd');
  if (Array.isArray(fact)) return fact.map(comparable);
  if (typeof fact !== 'object' || fact === null) return fact;
  return Object.fromEntries(Object.entries(fact).map(([key, value]) => [key, comparable(value)]));
}

const MUTATED_PAIRS = 4_000;

t.test('what dskit makes of broken pairs and rings, so do we', { skip, timeout: BUILD_TIMEOUT_MS }, async (t) => {
  const pairs = DOCUMENTS.flatMap(({ vectors }) => vectors).filter(({ kind, hex }) => kind === 'kv' && hex !== '');
  const below = random(20_261_122);
  const written = Array.from({ length: MUTATED_PAIRS }, (_, i): Written => {
    const bytes = unhex(pairs[i % pairs.length]?.hex ?? '');
    const pair = value(decodeKvPair(bytes));
    // Mostly inside the Snappy block, or hardly a change would get past it.
    const inside = pair.codec.endsWith('ingDesc') && i % 4 > 0;
    const plain = inside ? mutate(value(decodeSnappy(pair.value, 2 ** 20)), below) : undefined;
    const broken = plain === undefined ? mutate(bytes, below) : encodeKvPair({ ...pair, value: compress(plain) });
    return { kind: 'kv', bytes: broken, expected: {} };
  });
  const answers = await readInGo('dskit', written);
  const counts = { read: 0, refused: 0, group: 0 };
  for (const [i, { bytes }] of written.entries()) {
    const hex = Buffer.from(bytes).toString('hex');
    const { error, pairs } = answers[i] ?? {};
    const ours = attempt(() => readPairs({ name: '', kind: 'kv', hex, labelHex: '' }));
    if (ours === undefined && error === undefined) counts.group++;
    else if (ours === undefined) counts.refused++;
    else {
      counts.read++;
      t.strictSame([error, comparable(ours)], [undefined, comparable(pairs)], hex);
    }
  }
  t.comment(JSON.stringify(counts));
  t.ok(counts.read > MUTATED_PAIRS / 10 && counts.refused > MUTATED_PAIRS / 10, 'some of either');
  // Unknown groups are all that dskit skips and we refuse.
  t.ok(counts.group < MUTATED_PAIRS / 100, `${counts.group} that only dskit reads`);
});

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
