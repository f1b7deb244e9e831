/**
 * The short form of `npm run bench:forward`. On a shared machine single rounds differ by tens of percent, and inspection uses what is idle
 * while the flood waits for a core: so only a gross loss fails, of both the time on a core and the clock's.
 */
import t from 'tap';
import { compareForwarding } from '../bench/forward/compare.ts';
import { PATHS } from '../bench/forward/stand.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';

const LOSS_MAX = 0.35;

t.test('inspection keeps forwarding its pace', { skip: requireTools(LAB_TOOLS), timeout: 120_000 }, async (t) => {
  for (const { path, samples, rate, wallRate } of await compareForwarding(PATHS, ['plain', 'inspected'], 3, 500)) {
    const loss = Math.min(1 - rate.inspected / rate.plain, 1 - wallRate.inspected / wallRate.plain);
    t.comment(
      `${path}: ${Math.round(rate.plain)} packets a CPU second, ${(loss * 100).toFixed(1)}% less with inspection`,
    );
    t.ok(loss < LOSS_MAX, `${path}: ${(loss * 100).toFixed(1)}%`);
    t.ok(
      samples.inspected.every(({ perSecond }) => perSecond > 0),
      'something passed every time',
    );
  }
});
