/** What the kernel does in the fence's place; each is absent where it does not, or may not be asked. */
import { type MetricSpec, one } from './metric-types.ts';

export const KERNEL_METRICS: readonly MetricSpec[] = [
  {
    name: 'ringfence_bypass_dropped_total',
    type: 'counter',
    help: 'Packets that the kernel dropped because no fence took them; absent where the process may not read it (NET_ADMIN).',
    read: ({ fence }) =>
      Object.entries(fence.bypassDropped() ?? {}).map(([direction, value]) => one(value as number, { direction })),
  },
  {
    name: 'ringfence_flood_guard_active',
    type: 'gauge',
    help: '1 while the kernel drops foreign packets because of a flood (overload_dropped_total, kernel_filter); absent where no engine can have it do so.',
    read: ({ fence }) => {
      const active = fence.floodGuard();
      return active === undefined ? [] : [one(active ? 1 : 0)];
    },
  },
];
