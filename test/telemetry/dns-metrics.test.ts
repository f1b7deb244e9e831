import t from 'tap';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { parsePage, quietFence } from './helpers.ts';

t.test('each name of admit.dns has its series from the start', async (t) => {
  const never = { name: 'late.test', lastSuccessMs: 0, problem: 'SERVFAIL', addresses: 0 };
  const good = { name: 'ring.test', lastSuccessMs: 1_500, problem: undefined, addresses: 7 };
  const { fence } = quietFence({ dnsNames: () => [never, good] });
  const page = parsePage(await createMetrics([fence], '1').render());
  const series = (metric: string, name: string) =>
    page.get(`ringfence_admission_dns_${metric}{fence="traces",name="${name}"}`);
  t.equal(series('last_success_timestamp_seconds', 'late.test'), 0);
  t.equal(series('addresses', 'late.test'), 0);
  t.equal(series('last_success_timestamp_seconds', 'ring.test'), 1.5);
  t.equal(series('addresses', 'ring.test'), 7);
});
