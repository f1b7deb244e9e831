/** Who is on the list of flooders, and until when. */
import t from 'tap';
import { FloodSources, FORGIVEN_MS, LISTED_REJECTIONS, WINDOW_MS } from '../../../src/datapath/linux/flood-sources.ts';

const times = (n: number, act: () => void) => {
  for (let i = 0; i < n; i++) act();
};

t.test('listed by its rate, and forgiven when it stops', async (t) => {
  const sources = new FloodSources();
  times(LISTED_REJECTIONS - 1, () => sources.note('10.0.0.1', 0));
  sources.note('10.0.0.2', 0);
  t.notOk(sources.refresh(0));
  t.strictSame(sources.list(), []);
  sources.note('10.0.0.1', WINDOW_MS - 1);
  t.ok(sources.refresh(WINDOW_MS));
  t.notOk(sources.refresh(WINDOW_MS), 'said once');
  t.strictSame(sources.list(), ['10.0.0.1']);
  sources.note('10.0.0.1', 5_000);
  t.notOk(sources.refresh(5_000 + FORGIVEN_MS - 1), 'a sample keeps it there');
  t.ok(sources.refresh(5_000 + FORGIVEN_MS));
  t.strictSame(sources.list(), []);
});

t.test('a slow one is never listed', async (t) => {
  const sources = new FloodSources();
  for (let atMs = 0; atMs < 100 * WINDOW_MS; atMs += WINDOW_MS / 40) sources.note('10.0.0.1', atMs);
  t.strictSame(sources.list(), []);
});

t.test('bounded, whoever comes', async (t) => {
  const sources = new FloodSources();
  for (let i = 0; i < 100_000; i++) sources.note(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0);
  t.strictSame(sources.list(), [], 'one each is no flood');
  times(LISTED_REJECTIONS, () => sources.note('10.0.0.1', 1));
  t.strictSame(sources.list(), ['10.0.0.1'], 'who was counted before the table was full is found all the same');
  times(LISTED_REJECTIONS, () => sources.note('192.0.2.1', 1));
  t.strictSame(sources.list(), ['10.0.0.1'], 'who comes later waits');
  times(LISTED_REJECTIONS, () => sources.note('192.0.2.1', WINDOW_MS));
  t.strictSame(sources.list(), ['10.0.0.1', '192.0.2.1'], 'for the next window');
  for (let window = 2; window < 20; window++) {
    for (let i = 0; i < 50; i++)
      times(LISTED_REJECTIONS, () => sources.note(`172.16.${window}.${i}`, window * WINDOW_MS));
  }
  t.equal(sources.list().length, 512);
});
