/** Fences as the admin API and the metrics see them. */
import type { AdminView, FenceView } from '../admin/view.ts';
import type { FenceConfig } from '../config/types.ts';
import { STAGE_INDEX } from '../policy/stage.ts';
import { readTallies } from '../policy/tally.ts';
import type { PeerRecord } from '../ring/peers.ts';
import type { MetricsFence } from '../telemetry/metric-types.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { foreignAddresses } from '../telemetry/peer-states.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes } from '../wire/escape.ts';
import type { Fence } from './compose.ts';
import type { Readiness } from './readiness.ts';

/** What the metrics read of a fence. */
export function metricsFence(fence: Fence): MetricsFence {
  const { config, context, path, sightings, inside } = fence;
  return {
    name: config.name,
    shape: {
      mode: config.mode.kind,
      guardsOutbound: guardsOutbound(config),
      transport: config.streams.transport,
      tls: config.tls !== undefined,
      hasAdmissionRules: context.admission().hasRules,
      shield: config.shield,
      hasKeys: config.encryption.keyFiles.length > 0,
      ceiling: config.ceiling?.stage ?? 'enforce',
    },
    windowMs: config.memory.windowMs,
    now: context.now,
    stage: () => fence.settings().stage,
    readyToAdvance: (to) =>
      STAGE_INDEX[to] > STAGE_INDEX[fence.adoption.machine.stage()] &&
      fence.adoption.evidence.step(to).readiness === 'safe',
    tallies: fence.tallies,
    counts: () => path.counts(),
    appUp: () => path.appUp(),
    bypassDropped: () => path.bypassDropped?.(),
    peerRecords: (nowMs) => peerRecords(fence, nowMs),
    peerEvictions: () => context.peers.evictions(),
    foreignPeers: (nowMs) => sightings.foreignPeers(nowMs),
    steadyForeignLabels: (nowMs, limit) => sightings.steadyForeignLabels(nowMs, limit),
    sightingEvictions: () => sightings.evictions(),
    ring: inside.ring,
    inspectionSkipped: inside.skipped,
    tlsNotAfterMs: fence.tls.notAfterMs,
    tlsProblem: () => fence.tls.problem() !== undefined,
    gossipKeys: () => inside.keys.keyring()?.size ?? 0,
    sealedPeers: (nowMs) => inside.seals?.peers(nowMs) ?? [],
    sealEvictions: () => inside.seals?.evictions() ?? 0,
  };
}

/** What is remembered of peers, and of each address whether gossip says that it has several members behind it. */
function peerRecords({ context }: Fence, nowMs: number): PeerRecord[] {
  const admission = context.admission();
  return context.peers
    .records(nowMs)
    .map((record) => ({ ...record, ambiguous: record.ambiguous || admission.shared(record.address) }));
}

function guardsOutbound({ mode }: FenceConfig): boolean {
  return mode.kind === 'transparent' || mode.appInside === true;
}

function fenceView(fence: Fence, readiness: Readiness): FenceView {
  const { config, context, path, sightings, inside } = fence;
  const { now } = context;
  return {
    name: config.name,
    cluster: escapeBytes(config.label, config.label.length),
    mode: config.mode.kind,
    guardsOutbound: guardsOutbound(config),
    engine: path.engine,
    dialects: config.dialects,
    hasAdmissionRules: context.admission().hasRules,
    ceiling: config.ceiling,
    now,
    stage: () => fence.settings().stage,
    requestStage: fence.adoption.machine.request,
    appUp: () => path.appUp(),
    notReady: () => readiness.of(config.name),
    tally: () => readTallies(fence.tallies()),
    open: () => path.counts(),
    peers: () => peerRecords(fence, now()),
    rejections: (limit) =>
      sightings.rejections(limit).map(({ peer, ...row }) => ({ ...row, peer: formatEndpoint(peer) })),
    rejectionsLeftOut: () => sightings.leftOut(),
    foreignLabels: (limit) => sightings.foreignLabels(now(), limit),
    foreignPeers: () => {
      const nowMs = now();
      const source = { windowMs: config.memory.windowMs, foreignPeers: sightings.foreignPeers };
      return foreignAddresses(source, nowMs, context.peers.records(nowMs)).size;
    },
    ring: inside.ring,
    inspectionSkipped: inside.skipped,
    sealedPeers: () => inside.seals?.peers(now()) ?? [],
    quarantine: config.quarantine,
    encryption: {
      keys: () => inside.keys.keyring()?.size ?? 0,
      reseal: config.encryption.reseal,
      problem: inside.keys.problem,
    },
    tls: { notAfterMs: fence.tls.notAfterMs, problem: fence.tls.problem },
    adoption: {
      label: config.label,
      member: () => inside.ring?.app(),
      machine: fence.adoption.machine,
      evidence: fence.adoption.evidence,
      dns: () => fence.adoption.admission.names(),
    },
  };
}

/** The admin API's view of `fences`. */
export function createAdminView(fences: readonly Fence[], readiness: Readiness, version: string): AdminView {
  const page = createMetrics(fences.map(metricsFence), version);
  return {
    version,
    fences: fences.map((fence) => fenceView(fence, readiness)),
    metrics: async () => ({ contentType: page.contentType, body: await page.render() }),
  };
}
