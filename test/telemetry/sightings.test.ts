/** Bounded tables of what was rejected. */
import fc from 'fast-check';
import t from 'tap';
import type { FrameSource } from '../../src/ring/source.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import {
  createSightings,
  FOREIGN_LABELS_MAX,
  FOREIGN_PEERS_MAX,
  REJECTION_ROWS_MAX,
  SIGHTINGS_PER_SECOND_MAX,
} from '../../src/telemetry/sightings.ts';
import { parsePage, quietFence, rejection } from './helpers.ts';

const WINDOW_MS = 60_000;

t.test('rejections of one peer for one reason are one row, the newest first', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  sightings.note(rejection({ atMs: 1 }));
  sightings.note(rejection({ address: '10.0.0.8', atMs: 2 }));
  sightings.note(rejection({ atMs: 3, peer: { address: '10.0.0.9', port: 50_001 }, text: 'red' }));
  t.match(sightings.rejections(10), [
    {
      peer: { address: '10.0.0.9', port: 50_001 },
      label: 'red',
      count: 2,
      firstMs: 1,
      lastMs: 3,
      reason: 'label_foreign',
    },
    { peer: { address: '10.0.0.8' }, count: 1 },
  ]);
  t.equal(sightings.rejections(1).length, 1);
});

t.test('what a frame held comes later, and goes to the row that its frame went to', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  const excerpts = () => sightings.rejections(10).map(({ reason, excerpt }) => [reason, excerpt]);
  const from = (change: Partial<FrameSource>): FrameSource => ({
    ...rejection({ atMs: 1 }),
    rejected: true,
    answer: false,
    ...change,
  });
  // Making it costs more than all else that is done with most frames.
  const never = (why: string) => () => {
    t.fail(`asked for the text of a frame ${why}`);
    return '';
  };
  sightings.excerpt(from({}), never('before there was any row'));
  sightings.note(rejection({ atMs: 1 }));
  sightings.note(rejection({ atMs: 2, reason: 'label_missing', labelState: 'none' }));
  sightings.excerpt(from({}), () => 'first');
  sightings.excerpt(from({}), () => 'second');
  t.strictSame(excerpts(), [
    ['label_missing', ''],
    ['label_foreign', 'second'],
  ]);
  sightings.excerpt(from({ labelState: 'none', label: new Uint8Array(0) }), () => 'third');
  sightings.excerpt(from({ peer: { address: '10.0.0.77', port: 1 } }), never('of nobody'));
  sightings.excerpt(from({ kind: 'packet', labelState: 'own' }), never('of no rejection'));
  sightings.excerpt(from({ rejected: false }), never('that passed: it is of no row that was carried out'));
  t.strictSame(excerpts(), [
    ['label_missing', 'third'],
    ['label_foreign', 'second'],
  ]);
  sightings.note(rejection({ atMs: 3 }));
  t.strictSame(excerpts()[0], ['label_foreign', 'second'], 'the next rejection keeps it');
  sightings.note(rejection({ atMs: 4, wouldRejectAt: 'accept' }));
  sightings.excerpt(from({ rejected: false }), () => 'observed');
  t.strictSame(excerpts()[0], ['label_foreign', 'observed']);
});

t.test('what observe let pass is a row of its own, and its label is a foreign label all the same', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  sightings.note(rejection({ atMs: 1, wouldRejectAt: 'accept' }));
  sightings.note(rejection({ atMs: 2 }));
  t.match(sightings.rejections(10), [
    { wouldRejectAt: undefined, count: 1 },
    { wouldRejectAt: 'accept', count: 1 },
  ]);
  t.match(sightings.foreignLabels(3, 10), [{ label: 'green', count: 2 }]);
  t.strictSame([...sightings.foreignPeers(3)], ['10.0.0.9']);
});

t.test('foreign labels and peers count within the window', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  sightings.note(rejection({ atMs: 0, text: 'old', address: '10.0.0.1' }));
  for (const address of ['10.0.0.2', '10.0.0.3']) sightings.note(rejection({ atMs: 50_000, address }));
  sightings.note(rejection({ atMs: 50_000, text: 'red', address: '10.0.0.3' }));
  sightings.note(
    rejection({ atMs: 50_000, labelState: 'none', reason: 'peer_not_admitted', text: '', address: '10.0.0.4' }),
  );
  sightings.note(rejection({ atMs: 50_000, direction: 'outbound', address: '10.0.0.5' }));
  t.strictSame(
    sightings.foreignLabels(70_000, 10).map(({ label, count }) => [label, count]),
    [
      ['green', 3],
      ['red', 1],
    ],
  );
  t.strictSame(
    sightings.foreignLabels(70_000, 1).map(({ label }) => label),
    ['green'],
  );
  t.strictSame([...sightings.foreignPeers(70_000)].sort(), ['10.0.0.2', '10.0.0.3'], 'our own app is no foreign peer');
});

t.test('random labels make no new series with every scrape, and old ones make room after the window', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  for (let i = 0; i < 5; i++) sightings.note(rejection({ atMs: 0, text: 'often' }));
  for (let i = 0; i < 50; i++) sightings.note(rejection({ atMs: i, text: `first${i}` }));
  const before = sightings.steadyForeignLabels(100, 3);
  t.equal(before.length, 3);
  t.ok(before.includes('often'), 'the most frequent one is among them');
  for (let i = 0; i < 50; i++) for (let n = 0; n < 9; n++) sightings.note(rejection({ atMs: 200, text: `new${i}` }));
  t.strictSame(sightings.steadyForeignLabels(300, 3), before, 'more frequent ones wait for room');
  const after = sightings.steadyForeignLabels(WINDOW_MS + 150, 3);
  t.equal(after.length, 3);
  t.ok(
    after.every((label) => label.startsWith('new')),
    'the window has passed for the others',
  );
});

t.test('tables are bounded, and say what they dropped', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  const total = FOREIGN_PEERS_MAX + 10;
  for (let i = 0; i < total; i++) {
    sightings.note(rejection({ atMs: 2 * i, address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, text: `l${i}` }));
  }
  t.equal(sightings.rejections(10_000).length, REJECTION_ROWS_MAX);
  t.equal(sightings.foreignLabels(2 * total, 10_000).length, FOREIGN_LABELS_MAX);
  t.equal(sightings.foreignPeers(2 * total).size, FOREIGN_PEERS_MAX);
  t.match(sightings.rejections(1), [{ label: `l${total - 1}` }], 'the newest stay');
  t.strictSame(sightings.evictions(), {
    rejections: total - REJECTION_ROWS_MAX,
    foreignLabels: total - FOREIGN_LABELS_MAX,
    foreignPeers: total - FOREIGN_PEERS_MAX,
  });
});

t.test('a flood is left out past a rate, and that is counted', async (t) => {
  const sightings = createSightings({ windowMs: WINDOW_MS });
  for (let i = 0; i < SIGHTINGS_PER_SECOND_MAX * 3; i++) sightings.note(rejection({ atMs: 10_000 + (i % 1_000) }));
  t.match(sightings.rejections(1), [{ count: SIGHTINGS_PER_SECOND_MAX }]);
  t.equal(sightings.leftOut(), SIGHTINGS_PER_SECOND_MAX * 2);
  sightings.note(rejection({ atMs: 11_000 }));
  t.match(sightings.rejections(1), [{ count: SIGHTINGS_PER_SECOND_MAX + 1 }], 'the next second counts again');
});

t.test('no label breaks the metrics page, whatever its bytes', async (t) => {
  await t.resolves(
    fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 255 }), { maxLength: 40 }), async (labels) => {
        const sightings = createSightings({ windowMs: WINDOW_MS });
        for (const label of labels) sightings.note(rejection({ label }));
        const { fence } = quietFence({
          steadyForeignLabels: (_now, limit) => sightings.steadyForeignLabels(1_000, limit),
        });
        const page = parsePage(await createMetrics([fence], '0').render());
        const infos = [...page.keys()].filter((name) => name.startsWith('ringfence_foreign_label_info'));
        return (
          infos.length <= 20 &&
          (labels.length === 0 || infos.length > 0) &&
          infos.every((name) => /^[ -~]{1,330}$/.test(name))
        );
      }),
      { numRuns: 30 },
    ),
  );
});
