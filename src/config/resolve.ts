/** From the checked file to the values that fences are composed of. */
import { type Cidr, parseCidr } from '../policy/admission.ts';
import { needsTranslation } from '../policy/stage.ts';
import type { TransportSetting } from '../wire/transport.ts';
import { LISTEN_CEILING_WHY } from './rules.ts';
import type { FenceFile } from './schema.ts';
import type { FenceConfig, ListenMode, TlsConfig, TransparentMode } from './types.ts';
import { parseEndpoint } from './units.ts';

/** What connections speak once TLS, where there is any, is opened. */
const TRANSPORT_INSIDE = {
  auto: 'auto',
  native: 'native',
  dskit: 'dskit',
  'dskit-tls': 'dskit',
  'alertmanager-tls': 'alertmanager',
} as const satisfies Record<FenceFile['app']['transport'], TransportSetting>;

/** Called on fences in which findProblems found nothing. */
export function resolveFence(fence: FenceFile): FenceConfig {
  const { app, limits } = fence;
  const dialects = { sends: app.sends, takes: app.takes, wire: fence.wire };
  return {
    name: fence.name,
    cluster: fence.cluster,
    label: new TextEncoder().encode(fence.cluster),
    stage: fence.stage === 'auto' ? undefined : fence.stage,
    auto: fence.stage === 'auto',
    floor: needsTranslation(dialects) ? 'accept' : 'observe',
    ceiling:
      fence.listen !== undefined && app.sends === 'none' ? { stage: 'accept', why: LISTEN_CEILING_WHY } : undefined,
    dialects,
    mode: modeOf(fence),
    engine: fence.engine,
    cidrs: fence.admit.cidrs.map(parseCidr).filter((cidr): cidr is Cidr => cidr !== undefined),
    unterminatedTls: fence.tls.unterminated,
    shield: fence.shield,
    quarantine: fence.quarantine,
    dns: fence.admit.dns,
    names: fence.admit.names,
    graceMs: fence.admit.grace,
    warmUpMs: limits.mergeWarmUp,
    inspectBytesPerSecond: limits.inspectBytesPerSecond,
    floodPacketsPerSecond: limits.floodPacketsPerSecond,
    encryption: { keyFiles: fence.encryption.keyFiles, reseal: fence.encryption.reseal === 'on' },
    tls: app.transport.endsWith('-tls') ? tlsOf(fence) : undefined,
    streams: {
      transport: TRANSPORT_INSIDE[app.transport],
      rejectStreams: fence.rejectStreams,
      limits: {
        headerTimeoutMs: limits.header,
        connectTimeoutMs: limits.connect,
        idleTimeoutMs: limits.idle,
        streams: limits.streams,
        streamsPerPeer: limits.streamsPerPeer,
        sessions: limits.sessions,
        sessionIdleMs: limits.sessionIdle,
        rejectDrainMs: limits.rejectDrain,
        rejectDrainBytes: limits.rejectDrainBytes,
        holdTimeoutMs: limits.hold,
        holdBytes: limits.holdBytes,
        holdBytesTotal: limits.holdBytesTotal,
        pushPullNodes: limits.pushPullNodes,
        announcedBytes: limits.announcedBytes,
      },
    },
    memory: { peers: fence.memory.peers, windowMs: fence.memory.window, foreignMs: limits.foreignEvidence },
    drainGraceMs: limits.drainGrace,
    adoption: {
      dnsRefreshMs: limits.dnsRefresh,
      strangerWaitMs: limits.strangerWait,
      strangerWaitBytes: limits.strangerWaitBytes,
      probeIntervalMs: limits.probeInterval,
      settleMs: limits.settle,
    },
  };
}

function tlsOf({ tls: { unterminated: _unterminated, ...tls } }: FenceFile): TlsConfig {
  return tls;
}

function modeOf(fence: FenceFile): ListenMode | TransparentMode {
  if (fence.transparent !== undefined) return { kind: 'transparent', ...fence.transparent };
  const listen = parseEndpoint(fence.listen ?? '');
  const app = parseEndpoint(fence.app.address);
  if (listen === undefined || app === undefined) throw new TypeError('resolveFence needs a fence that was checked');
  return { kind: 'listen', listen, app };
}
