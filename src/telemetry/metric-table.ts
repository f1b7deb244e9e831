/** One typed table of every metric of a fence, with its names and labels as users meet them, and how each is read. */
import type { StageOrigin } from '../control/stage-types.ts';
import { STAGES, type Stage } from '../policy/stage.ts';
import { FORWARD_BUCKETS_SECONDS } from '../policy/tally.ts';
import type { Counts, TallyReading } from '../policy/tally-reading.ts';
import { DNS_METRICS } from './dns-metrics.ts';
import { KERNEL_METRICS } from './kernel-metrics.ts';
import { type Labels, type MetricSpec, type MetricValue, one } from './metric-types.ts';
import { foreignAddresses, lastShown } from './peer-states.ts';
import { canEnter, placeOccurs, reasonOccurs, stateOccurs, wouldRejectOccurs } from './possible.ts';
import { RING_METRICS } from './ring-metrics.ts';
import { SEAL_METRICS } from './seal-metrics.ts';
import { TLS_METRICS } from './tls-metrics.ts';

/** Who changes a stage while a fence runs: a state file only says where it starts. */
const CHANGING_ORIGINS = ['config', 'peers', 'default', 'api', 'auto'] as const satisfies readonly StageOrigin[];

/** Foreign labels on the metrics page: an attacker chooses them, so they are few. */
export const FOREIGN_LABEL_SERIES_MAX = 20;

/** Keeps what counted anything or can (possible.ts), and turns its row into labels. */
function series<Row>(
  { rows, values }: Counts<Row>,
  occurs: (row: Row) => boolean,
  labels: (row: Row) => Labels,
): MetricValue[] {
  return rows.flatMap((row, i) => {
    const value = values[i] ?? 0;
    return value > 0 || occurs(row) ? [one(value, labels(row))] : [];
  });
}

type WhereRow = TallyReading['bytes'][number];
const whereLabels = ({ direction, transport, kind }: Omit<WhereRow, 'value'>): Labels => ({
  direction,
  transport,
  kind,
});

/** Every metric of a fence that this version fills; the label `fence` is added to each. */
export const METRICS: readonly MetricSpec[] = [
  {
    name: 'ringfence_frames_total',
    type: 'counter',
    help: 'Frames (gossip packets and streams) by label state and verdict.',
    read: ({ fence: { shape }, tally }) =>
      series(
        tally.all.frames,
        (row) => placeOccurs(shape, row) && stateOccurs(row, row.labelState),
        (row) => ({ ...whereLabels(row), label_state: row.labelState, verdict: row.verdict }),
      ),
  },
  {
    name: 'ringfence_frame_bytes_total',
    type: 'counter',
    help: 'Bytes of passing frames, as read from their sender.',
    read: ({ fence: { shape }, tally }) =>
      tally.bytes
        .filter((row) => row.value > 0 || placeOccurs(shape, row))
        .map(({ value, ...where }) => one(value, whereLabels(where))),
  },
  {
    name: 'ringfence_rejected_total',
    type: 'counter',
    help: 'Rejected frames by reason.',
    read: ({ fence: { shape }, tally }) =>
      series(
        tally.all.rejected,
        (row) => placeOccurs(shape, row) && reasonOccurs(shape, row, row.reason),
        (row) => ({ ...whereLabels(row), reason: row.reason }),
      ),
  },
  {
    name: 'ringfence_would_reject_total',
    type: 'counter',
    help: 'Frames that a later stage would have rejected, an upper bound on what it would cut.',
    read: ({ fence: { shape }, tally }) =>
      series(
        tally.all.wouldReject,
        (row) =>
          wouldRejectOccurs(row.reason, row.stage) && placeOccurs(shape, row) && reasonOccurs(shape, row, row.reason),
        (row) => ({ ...whereLabels(row), reason: row.reason, stage: row.stage }),
      ).filter(({ labels }) => canEnter(shape, labels['stage'] as Stage)),
  },
  {
    name: 'ringfence_would_strand_total',
    type: 'counter',
    help: 'Passing outbound frames that a later stage would send with a label to a peer that has not proved to take one.',
    read: ({ fence: { shape }, tally }) =>
      tally.wouldStrand
        .filter(({ stage }) => stage !== 'observe' && canEnter(shape, stage))
        .map(({ stage, value }) => one(value, { stage })),
  },
  {
    name: 'ringfence_fallbacks_total',
    type: 'counter',
    help: 'Unlabelled frames of peers that lately showed the own label: restarted or rolled back.',
    read: ({ tally }) => [one(tally.fallbacks)],
  },
  {
    name: 'ringfence_foreign_peers',
    type: 'gauge',
    help: 'Peer addresses that showed a foreign label within the memory window.',
    read: ({ fence, nowMs, records }) => [one(foreignAddresses(fence, nowMs, records).size)],
  },
  {
    name: 'ringfence_foreign_label_info',
    type: 'gauge',
    help: `Foreign labels rejected within the memory window, escaped, the ${FOREIGN_LABEL_SERIES_MAX} most frequent; always 1.`,
    read: ({ fence, nowMs }) =>
      fence.steadyForeignLabels(nowMs, FOREIGN_LABEL_SERIES_MAX).map((label) => one(1, { label })),
  },
  {
    name: 'ringfence_peers',
    type: 'gauge',
    help: 'Peer addresses by the label state that they showed last, within the memory window.',
    read: ({ fence, nowMs, records }) =>
      (['own', 'none', 'foreign'] as const).map((state) =>
        one(records.filter((record) => lastShown(record, nowMs, fence.windowMs) === state).length, {
          label_state: state,
        }),
      ),
  },
  {
    name: 'ringfence_ambiguous_peers',
    type: 'gauge',
    help: 'Peer addresses with several members behind them: what such an address shows is not held against it.',
    read: ({ records }) => [one(records.filter(({ port, ambiguous }) => port === 0 && ambiguous).length)],
  },
  {
    name: 'ringfence_waiting_frames',
    type: 'gauge',
    help: 'Frames that wait until it is known who their peer is (DNS), or at a start at which stage the fence is.',
    read: ({ counts }) => [one(counts.waitingFrames)],
  },
  {
    name: 'ringfence_stage',
    type: 'gauge',
    help: '1 for the stage that the fence is in.',
    read: ({ fence }) => STAGES.map((stage) => one(fence.stage() === stage ? 1 : 0, { stage })),
  },
  {
    name: 'ringfence_ready_to_advance',
    type: 'gauge',
    help: '1 for each stage above the present one that is safe to enter by what is known of every member.',
    read: ({ fence }) =>
      STAGES.filter((to) => to !== 'observe' && canEnter(fence.shape, to)).map((to) =>
        one(fence.readyToAdvance(to) ? 1 : 0, { to }),
      ),
  },
  {
    name: 'ringfence_stage_changes_total',
    type: 'counter',
    help: 'Changes of the stage while the fence runs, by where they led and who made them.',
    read: ({ fence }) => {
      const made = fence.stageChanges();
      const count = (to: Stage, origin: StageOrigin) =>
        made.find((change) => change.to === to && change.origin === origin)?.count ?? 0;
      return STAGES.filter((to) => canEnter(fence.shape, to)).flatMap((to) =>
        CHANGING_ORIGINS.map((origin) => one(count(to, origin), { to, origin })),
      );
    },
  },
  {
    name: 'ringfence_sessions',
    type: 'gauge',
    help: 'Open UDP sessions.',
    read: ({ counts }) => [one(counts.sessions)],
  },
  {
    name: 'ringfence_streams_open',
    type: 'gauge',
    help: 'Open streams.',
    read: ({ counts }) => [
      one(counts.streamsInbound, { direction: 'inbound' }),
      one(counts.streamsOutbound, { direction: 'outbound' }),
    ],
  },
  {
    name: 'ringfence_oversize_packets_total',
    type: 'counter',
    help: 'Passing datagrams that are larger than the MTU once their label is added.',
    read: ({ tally }) => [one(tally.oversize)],
  },
  {
    name: 'ringfence_overload_dropped_total',
    type: 'counter',
    help: 'Frames that passed and could not be delivered.',
    read: ({ tally }) => tally.dropped.map(({ reason, value }) => one(value, { reason })),
  },
  ...KERNEL_METRICS,
  {
    name: 'ringfence_table_evictions_total',
    type: 'counter',
    help: 'Entries dropped from bounded tables for newer ones.',
    read: ({ fence, counts }) => {
      const { rejections, foreignLabels, foreignPeers } = fence.sightingEvictions();
      const tables = {
        peers: fence.peerEvictions(),
        sessions: counts.sessionEvictions,
        rejections,
        foreign_labels: foreignLabels,
        foreign_peers: foreignPeers,
        ...fence.ring?.evictions(),
        sealed_peers: fence.sealEvictions(),
      };
      return Object.entries(tables).map(([table, value]) => one(value, { table }));
    },
  },
  {
    name: 'ringfence_app_up',
    type: 'gauge',
    help: '1 if the app was reachable when it was last tried.',
    read: ({ fence }) => [one(fence.appUp() === true ? 1 : 0)],
  },
  {
    name: 'ringfence_forward_seconds',
    type: 'histogram',
    help: "Time from a passing frame's arrival (a stream: its header's) to its hand-over to the other side.",
    read: ({ tally }) => tally.forward.flatMap(histogramValues),
  },
  ...DNS_METRICS,
  ...RING_METRICS,
  ...SEAL_METRICS,
  ...TLS_METRICS,
];

function histogramValues({ direction, kind, buckets, sumSeconds }: TallyReading['forward'][number]): MetricValue[] {
  const name = 'ringfence_forward_seconds';
  const labels = { direction, kind };
  let total = 0;
  const values: MetricValue[] = buckets.map((count, i) => {
    total += count;
    const le = FORWARD_BUCKETS_SECONDS[i];
    return {
      labels: { ...labels, le: le === undefined ? '+Inf' : String(le) },
      value: total,
      metricName: `${name}_bucket`,
    };
  });
  values.push({ labels, value: sumSeconds, metricName: `${name}_sum` });
  values.push({ labels, value: total, metricName: `${name}_count` });
  return values;
}
