/** The metrics of admission by DNS; a series for each configured name, from the start. */
import { type MetricSpec, one } from './metric-types.ts';

export const DNS_METRICS: readonly MetricSpec[] = [
  {
    name: 'ringfence_admission_dns_last_success_timestamp_seconds',
    type: 'gauge',
    help: 'When a name of admit.dns last answered, seconds since the epoch; 0: never. Its last good answer stays in use.',
    read: ({ fence }) => fence.dnsNames().map(({ name, lastSuccessMs }) => one(lastSuccessMs / 1000, { name })),
  },
  {
    name: 'ringfence_admission_dns_addresses',
    type: 'gauge',
    help: 'Addresses that a name of admit.dns last answered with.',
    read: ({ fence }) => fence.dnsNames().map(({ name, addresses }) => one(addresses, { name })),
  },
];
