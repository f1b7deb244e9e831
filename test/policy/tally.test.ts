import t from 'tap';
import { createSnapshot, decide } from '../../src/policy/decide.ts';
import { DIRECTIONS, KINDS, LABEL_STATES } from '../../src/policy/facts.ts';
import { REJECT_REASONS } from '../../src/policy/reason.ts';
import { STAGES } from '../../src/policy/stage.ts';
import {
  createTally,
  DROP_REASONS,
  FORWARD_BUCKETS_SECONDS,
  frameCells,
  SEAL_OUTCOMES,
  TALLY_BYTES,
  type Where,
} from '../../src/policy/tally.ts';
import { readTallies, type TallyReading } from '../../src/policy/tally-reading.ts';
import { TRANSPORTS } from '../../src/wire/transport.ts';

const WHERE: Where = { direction: 'inbound', transport: 'native', kind: 'packet' };
const PLACES: Where[] = DIRECTIONS.flatMap((direction) =>
  TRANSPORTS.flatMap((transport) => KINDS.map((kind) => ({ direction, transport, kind }))),
);
const settings = {
  stage: 'observe',
  sends: 'none',
  takes: 'none',
  wire: 'none',
  unterminatedTls: 'reject',
  shield: true,
} as const;
const member = { admitted: true, proven: false, foreign: false };
const fresh = () => new ArrayBuffer(TALLY_BYTES);

/** Every series with a value other than zero, as one line each. */
function counted(reading: TallyReading): string[] {
  const lines = (name: string, rows: readonly { value: number }[]) =>
    rows.filter(({ value }) => value !== 0).map((row) => `${name} ${Object.values(row).join(' ')}`);
  return [
    ...lines('frames', reading.frames),
    ...lines('bytes', reading.bytes),
    ...lines('rejected', reading.rejected),
    ...lines('would_reject', reading.wouldReject),
    ...lines('would_strand', reading.wouldStrand),
    ...lines('dropped', reading.dropped),
    ...(reading.fallbacks ? [`fallbacks ${reading.fallbacks}`] : []),
    ...(reading.oversize ? [`oversize ${reading.oversize}`] : []),
    ...reading.forward.flatMap(({ direction, kind, buckets, sumSeconds }) =>
      sumSeconds === 0 ? [] : [`forward ${direction} ${kind} ${buckets.join(',')} ${sumSeconds}`],
    ),
    ...lines('sealed', reading.sealed),
    ...lines('resealed', reading.resealed),
    ...Object.entries(reading.quarantined).flatMap(([what, value]) => (value === 0 ? [] : [`${what} ${value}`])),
  ];
}

t.test('every series of the closed lists is there from the start, at zero', async (t) => {
  const reading = readTallies([fresh()]);
  t.strictSame(counted(reading), []);
  const { frames, rejected, wouldReject } = reading.all;
  t.equal(frames.rows.length, PLACES.length * LABEL_STATES.length * 2);
  t.equal(reading.bytes.length, PLACES.length);
  t.equal(rejected.rows.length, PLACES.length * REJECT_REASONS.length);
  t.equal(wouldReject.rows.length, PLACES.length * REJECT_REASONS.length * STAGES.length);
  for (const { rows, values } of [frames, rejected, wouldReject]) {
    t.equal(values.length, rows.length);
    t.equal(new Set(rows.map((row) => JSON.stringify(row))).size, rows.length);
  }
  t.equal(reading.wouldStrand.length, STAGES.length);
  t.equal(reading.dropped.length, DROP_REASONS.length);
  t.equal(reading.forward.length, DIRECTIONS.length * KINDS.length);
  t.strictSame(readTallies([]), reading, 'also when nothing counts yet');
});

t.test('a passing frame counts what later stages would do with it', async (t) => {
  const buffer = fresh();
  const decision = decide({ direction: 'inbound', state: 'none' }, member, createSnapshot(settings));
  createTally(buffer).frame(WHERE, 'none', decision);
  t.strictSame(counted(readTallies([buffer])), [
    'frames inbound native packet none pass 1',
    'would_reject inbound native packet label_missing enforce 1',
  ]);
  const out = fresh();
  const sent = decide({ direction: 'outbound', state: 'none' }, member, createSnapshot(settings));
  createTally(out).frame({ ...WHERE, direction: 'outbound' }, 'none', sent);
  t.strictSame(counted(readTallies([out])), [
    'frames outbound native packet none pass 1',
    'would_strand label 1',
    'would_strand enforce 1',
  ]);
});

t.test('a rejected frame counts as rejected, with its reason, and a fall-back beside it', async (t) => {
  const buffer = fresh();
  const tally = createTally(buffer);
  const enforced = createSnapshot({ ...settings, stage: 'enforce' });
  const view = { ...member, proven: true };
  tally.frame(WHERE, 'none', decide({ direction: 'inbound', state: 'none' }, view, enforced));
  tally.frame(WHERE, 'label_double', decide({ direction: 'inbound', state: 'label_double' }, view, enforced));
  t.strictSame(counted(readTallies([buffer])), [
    'frames inbound native packet none reject 1',
    'frames inbound native packet malformed reject 1',
    'rejected inbound native packet label_double 1',
    'rejected inbound native packet label_missing 1',
    'fallbacks 1',
  ]);
});

t.test('a frame counts in its cells as it counts by itself, with its bytes', async (t) => {
  for (const stage of STAGES) {
    for (const where of PLACES) {
      for (const state of ['own', 'none', 'foreign', 'label_double'] as const) {
        const decision = decide({ direction: where.direction, state }, member, createSnapshot({ ...settings, stage }));
        const passedBytes = decision.verdict === 'pass' ? 200 : 0;
        const [byItself, byCells] = [fresh(), fresh()];
        const tally = createTally(byItself);
        tally.frame(where, state, decision);
        tally.bytes(where, passedBytes);
        createTally(byCells).counted(frameCells(where, state, decision), passedBytes);
        t.strictSame(readTallies([byCells]), readTallies([byItself]), JSON.stringify({ stage, where, state }));
      }
    }
  }
});

t.test('what is found in a frame after it was counted is no second frame', async (t) => {
  const buffer = fresh();
  const where: Where = { direction: 'inbound', transport: 'native', kind: 'stream' };
  createTally(buffer).wouldReject(where, [
    { stage: 'accept', reason: 'shield_bad_version' },
    { stage: 'label', reason: 'shield_bad_version' },
  ]);
  t.strictSame(counted(readTallies([buffer])), [
    'would_reject inbound native stream shield_bad_version accept 1',
    'would_reject inbound native stream shield_bad_version label 1',
  ]);
});

t.test('bounds, cuts, drops, bytes and oversize have their own places', async (t) => {
  const buffer = fresh();
  const tally = createTally(buffer);
  const where: Where = { direction: 'outbound', transport: 'dskit', kind: 'stream' };
  tally.limited(where, 'none', 'streams_limit');
  tally.cut(where, 'idle_timeout');
  tally.cut(where, 'idle_timeout');
  tally.dropped('backlog_full');
  tally.oversize();
  tally.bytes(where, 1400);
  tally.bytes(where, 2 ** 40);
  t.strictSame(counted(readTallies([buffer])), [
    'frames outbound dskit stream none reject 1',
    `bytes outbound dskit stream ${2 ** 40 + 1400}`,
    'rejected outbound dskit stream idle_timeout 2',
    'rejected outbound dskit stream streams_limit 1',
    'dropped backlog_full 1',
    'oversize 1',
  ]);
});

t.test('forwarding times go into the first bucket that holds them, and the last is open', async (t) => {
  const buffer = fresh();
  const tally = createTally(buffer);
  for (const bound of FORWARD_BUCKETS_SECONDS) tally.forwarded('inbound', 'stream', bound);
  tally.forwarded('inbound', 'stream', 60);
  tally.forwarded('inbound', 'stream', 0);
  const row = readTallies([buffer]).forward.find((one) => one.direction === 'inbound' && one.kind === 'stream');
  t.strictSame(row?.buckets, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
  t.ok(Math.abs((row?.sumSeconds ?? 0) - FORWARD_BUCKETS_SECONDS.reduce((a, b) => a + b, 60)) < 1e-9);
});

t.test('what the keys opened, what was sealed anew, and what quarantine took out', async (t) => {
  const buffer = fresh();
  const tally = createTally(buffer);
  tally.sealed('inbound', 'packet', 'label');
  tally.sealed('inbound', 'packet', 'label');
  tally.sealed('outbound', 'stream', 'no_key');
  tally.resealed('outbound', 'packet');
  tally.quarantined(3, 0);
  tally.quarantined(2, 1);
  t.strictSame(counted(readTallies([buffer])), [
    'sealed inbound packet label 2',
    'sealed outbound stream no_key 1',
    'resealed outbound packet 1',
    'stripped 5',
    'dropped 1',
  ]);
});

t.test('several tallies are summed, and none is changed by reading', async (t) => {
  const buffers = [fresh(), fresh(), fresh()];
  for (const buffer of buffers) createTally(buffer).dropped('backlog_full');
  t.strictSame(counted(readTallies(buffers)), ['dropped backlog_full 3']);
  t.strictSame(counted(readTallies(buffers)), ['dropped backlog_full 3']);
});

t.test('no two counters share a cell', async (t) => {
  const cells = (count: (tally: ReturnType<typeof createTally>) => void): number[] => {
    const buffer = fresh();
    count(createTally(buffer));
    return [...new Float64Array(buffer).entries()].filter(([, value]) => value !== 0).map(([cell]) => cell);
  };
  const own: number[] = [];
  for (const where of PLACES) {
    own.push(...cells((tally) => tally.bytes(where, 1)));
    for (const reason of REJECT_REASONS) own.push(...cells((tally) => tally.cut(where, reason)));
    const rejected = new Set(own);
    for (const state of LABEL_STATES) {
      const both = cells((tally) => tally.limited(where, state, 'streams_limit'));
      own.push(...both.filter((cell) => !rejected.has(cell)));
    }
  }
  for (const reason of DROP_REASONS) own.push(...cells((tally) => tally.dropped(reason)));
  own.push(...cells((tally) => tally.oversize()));
  for (const direction of DIRECTIONS) {
    for (const kind of KINDS) {
      own.push(...cells((tally) => tally.resealed(direction, kind)));
      for (const outcome of SEAL_OUTCOMES) own.push(...cells((tally) => tally.sealed(direction, kind, outcome)));
    }
  }
  own.push(...cells((tally) => tally.quarantined(1, 1)));
  t.equal(new Set(own).size, own.length);
  const inside = DIRECTIONS.length * KINDS.length * (1 + SEAL_OUTCOMES.length) + 2;
  const places = PLACES.length * (1 + REJECT_REASONS.length + LABEL_STATES.length);
  t.equal(own.length, places + DROP_REASONS.length + 1 + inside);
});
