/** The metrics of the fence's own certificate; absent where it opens no TLS. */
import { type MetricSpec, one } from './metric-types.ts';

export const TLS_METRICS: readonly MetricSpec[] = [
  {
    name: 'ringfence_tls_certificate_not_after_seconds',
    type: 'gauge',
    help: 'When the certificate in use ends, seconds since the epoch. Only where the fence opens TLS.',
    read({ fence }) {
      const endsMs = fence.tlsNotAfterMs();
      return endsMs === undefined ? [] : [one(endsMs / 1000)];
    },
  },
  {
    name: 'ringfence_tls_problem',
    type: 'gauge',
    help: '1 while a certificate file cannot be used, or the certificate in use has expired, is not valid yet or ends within a day. Only where the fence opens TLS.',
    read: ({ fence }) => (fence.tlsNotAfterMs() === undefined ? [] : [one(fence.tlsProblem() ? 1 : 0)]),
  },
];
