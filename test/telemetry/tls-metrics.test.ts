import t from 'tap';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { parsePage, quietFence } from './helpers.ts';

t.test("the fence's certificate in figures, only where there is one", async (t) => {
  const page = async (change: Parameters<typeof quietFence>[0]) =>
    parsePage(await createMetrics([quietFence(change).fence], '1.2.3').render());
  const at = (name: string) => `ringfence_tls_${name}{fence="traces"}`;
  const good = await page({ tlsNotAfterMs: () => 5_000 });
  t.equal(good.get(at('certificate_not_after_seconds')), 5);
  t.equal(good.get(at('problem')), 0);
  t.equal((await page({ tlsNotAfterMs: () => 5_000, tlsProblem: () => true })).get(at('problem')), 1);
  const without = await page({});
  t.notOk(without.has(at('certificate_not_after_seconds')));
  t.notOk(without.has(at('problem')));
});
