/** Fences as the admin API and the metrics see them. */
import type { AdminView, FenceView } from '../admin/view.ts';
import type { FenceConfig } from '../config/types.ts';
import type { LastReload } from '../control/reload.ts';
import { STAGE_INDEX } from '../policy/stage.ts';
import { readTallies } from '../policy/tally-reading.ts';
import type { PeerRecord } from '../ring/peers.ts';
import type { MetricsFence } from '../telemetry/metric-types.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { foreignAddresses } from '../telemetry/peer-states.ts';
import type { Shape } from '../telemetry/possible.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes, escapeText } from '../wire/escape.ts';
import type { Fence } from './compose.ts';
import type { Readiness } from './readiness.ts';

/** How much of a file's problem the status shows. */
const PROBLEM_BYTES = 500;

/** What the metrics read of a fence. */
export function metricsFence(fence: Fence): MetricsFence {
  const { config, context, path, sightings, inside } = fence;
  return {
    name: config.name,
    get shape() {
      return shapeOf(fence);
    },
    windowMs: config.memory.windowMs,
    now: context.now,
    stage: () => fence.settings().stage,
    stageChanges: fence.adoption.machine.changes,
    dnsNames: () => fence.adoption.admission.names(),
    readyToAdvance: (to) =>
      STAGE_INDEX[to] > STAGE_INDEX[fence.adoption.machine.stage()] &&
      fence.adoption.evidence.step(to).readiness === 'safe',
    tallies: fence.tallies,
    counts: () => path.counts(),
    appUp: () => path.appUp(),
    bypassDropped: () => path.bypassDropped?.(),
    floodGuard: () => path.floodGuard?.(),
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

/** Asked anew for each page, because a reload changes it. */
function shapeOf({ config, context }: Fence): Shape {
  return {
    mode: config.mode.kind,
    guardsOutbound: guardsOutbound(config),
    transport: config.streams.transport,
    tls: config.tls !== undefined,
    hasAdmissionRules: context.admission().hasRules,
    shield: config.shield,
    hasKeys: config.encryption.keyFiles.length > 0,
    ceiling: config.ceiling?.stage ?? 'enforce',
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

function fenceView(fence: Fence, readiness: Readiness, files: ProcessFiles): FenceView {
  const { config, context, path, sightings, inside } = fence;
  const { now } = context;
  return {
    name: config.name,
    cluster: escapeBytes(config.label, config.label.length),
    mode: config.mode.kind,
    guardsOutbound: guardsOutbound(config),
    engine: path.engine,
    engineReason: fence.engineReason,
    get dialects() {
      return fence.config.dialects;
    },
    get hasAdmissionRules() {
      return context.admission().hasRules;
    },
    get ceiling() {
      return fence.config.ceiling;
    },
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
    get quarantine() {
      return fence.config.quarantine;
    },
    encryption: {
      keys: () => inside.keys.keyring()?.size ?? 0,
      reseal: config.encryption.reseal,
      problem: inside.keys.problem,
    },
    tls: { notAfterMs: fence.tls.notAfterMs, problem: fence.tls.problem },
    fileProblems: () => fileProblems(files),
    adoption: {
      label: config.label,
      member: () => inside.ring?.app(),
      machine: fence.adoption.machine,
      evidence: fence.adoption.evidence,
      dns: () => fence.adoption.admission.names(),
    },
  };
}

/** How the files that the fences of a process share stand; undefined where there are none. */
export interface ProcessFiles {
  /** The configuration, once it is watched. */
  config?(): LastReload;
  stateFile?: (() => string | undefined) | undefined;
}

function fileProblems({ config, stateFile }: ProcessFiles): string[] {
  const found = [config?.().problem, stateFile?.()];
  return found.filter((problem) => problem !== undefined).map((problem) => escapeText(problem, PROBLEM_BYTES));
}

/** The admin API's view of `fences`. */
export function createAdminView(
  fences: readonly Fence[],
  readiness: Readiness,
  version: string,
  files: ProcessFiles = {},
): AdminView {
  const page = createMetrics(fences.map(metricsFence), version, files.config);
  return {
    version,
    fences: fences.map((fence) => fenceView(fence, readiness, files)),
    metrics: async () => ({ contentType: page.contentType, body: await page.render() }),
  };
}
