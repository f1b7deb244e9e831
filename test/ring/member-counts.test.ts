import t from 'tap';
import { mergedRing, START_MS } from './merged-ring.ts';

t.test('members by state, those that are forgotten no longer', async (t) => {
  const ring = mergedRing();
  t.strictSame(ring.memberCounts(START_MS + 3_000), { alive: 3, suspect: 0, dead: 1, left: 0 });
  t.strictSame(ring.memberCounts(START_MS + 15 * 60_000), { alive: 3, suspect: 0, dead: 0, left: 0 });
});
