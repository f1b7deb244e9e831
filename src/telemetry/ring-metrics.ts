/** The metrics of what inspection reads; part of the one table (metric-table.ts). */
import { type MetricSpec, one } from './metric-types.ts';

export const RING_METRICS: readonly MetricSpec[] = [
  {
    name: 'ringfence_members',
    type: 'gauge',
    help: 'Members that the gossip passing the fence names, by state; the dead and the left until they are forgotten.',
    read: ({ fence, nowMs }) => {
      const counts: Readonly<Record<string, number>> = fence.ring?.memberCounts(nowMs) ?? {};
      return Object.entries(counts).map(([state, count]) => one(count, { state }));
    },
  },
  {
    name: 'ringfence_merge_alarms',
    type: 'gauge',
    help: "Members of this ring that were seen under another cluster's label first, at present; certain.",
    read: ({ fence, nowMs }) => (fence.ring === undefined ? [] : [one(fence.ring.alarms(nowMs).length)]),
  },
  {
    name: 'ringfence_merge_warnings',
    type: 'gauge',
    help: 'Members and ring instances that do not look like our own for longer than the grace, at present.',
    read: ({ fence, nowMs }) => (fence.ring === undefined ? [] : [one(fence.ring.warnings(nowMs).length)]),
  },
  {
    name: 'ringfence_quarantined_total',
    type: 'counter',
    help: 'Entries of gossip that quarantine took out: alive entries of foreigners, and what foreigners say of own members.',
    read: ({ tally: { quarantined } }) =>
      Object.entries(quarantined).map(([action, value]) => one(value as number, { action })),
  },
  {
    name: 'ringfence_inspection_skipped_total',
    type: 'counter',
    help: 'Frames, or rests of streams, that were forwarded without being looked into, by reason.',
    read: ({ fence }) =>
      Object.entries(fence.inspectionSkipped() ?? {}).map(([reason, value]) => one(value as number, { reason })),
  },
];
