/** The metrics page: the table, filled when it is scraped. The only importer of prom-client. */
import { type Metric, Registry } from 'prom-client';
import type { LastReload } from '../control/reload.ts';
import { readTallies } from '../policy/tally-reading.ts';
import { METRICS } from './metric-table.ts';
import { type MetricSpec, type MetricsFence, type MetricValue, one, type Scrape } from './metric-types.ts';

export interface MetricsPage {
  readonly contentType: string;
  render(): Promise<string>;
}

/** The metrics of the process itself that depend on its configuration being watched. */
const RELOAD_METRICS = [
  {
    name: 'ringfence_config_last_reload_successful',
    type: 'gauge',
    help: '1 if what the configuration file last held is in force.',
    value: ({ successful }: LastReload) => (successful ? 1 : 0),
  },
  {
    name: 'ringfence_config_last_reload_success_timestamp_seconds',
    type: 'gauge',
    help: 'When a configuration was last taken, the one of the start included.',
    value: ({ successMs }: LastReload) => successMs / 1000,
  },
] as const;

/** The page over `fences`, and over the configuration where it is watched; everything is read when it is rendered. */
export function createMetrics(
  fences: readonly MetricsFence[],
  version: string,
  lastReload?: () => LastReload,
): MetricsPage {
  const registry = new Registry();
  let scrapes: Scrape[] = [];
  const register = (spec: Omit<MetricSpec, 'read'>, values: () => MetricValue[]) => {
    const { name, type, help } = spec;
    // prom-client's own Counter and Histogram own their numbers; these are read from shared counters, so only its registry and
    // its text format are used: it asks a metric for nothing but its name and get().
    registry.registerMetric({ name, get: async () => ({ name, type, help, values: values() }) } as unknown as Metric);
  };
  for (const spec of METRICS) {
    register(spec, () =>
      scrapes.flatMap((scrape) =>
        spec.read(scrape).map((value) => ({ ...value, labels: { fence: scrape.fence.name, ...value.labels } })),
      ),
    );
  }
  for (const { value, ...spec } of lastReload === undefined ? [] : RELOAD_METRICS) {
    register(spec, () => (lastReload === undefined ? [] : [one(value(lastReload()))]));
  }
  const build = { name: 'ringfence_build_info', type: 'gauge', help: 'The version; always 1.' } as const;
  register(build, () => [one(1, { version, node: process.versions.node })]);
  return {
    contentType: registry.contentType,
    render() {
      scrapes = fences.map((fence) => {
        const nowMs = fence.now();
        const records = fence.peerRecords(nowMs);
        return { fence, nowMs, tally: readTallies(fence.tallies()), records, counts: fence.counts() };
      });
      return registry.metrics();
    },
  };
}
