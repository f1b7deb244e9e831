/** The composition of one fence: from its configuration to its context (policy, memory, counters) and its data path. */
import type { FenceConfig, ListenMode, TransparentMode } from '../config/types.ts';
import {
  type DataPath,
  type Fault,
  type FenceContext,
  type FenceRules,
  NO_DOUBTS,
  type Rejection,
} from '../datapath/engine.ts';
import type { Pump } from '../datapath/inspection-pump.ts';
import type { ListenPath } from '../datapath/listen.ts';
import { type AdmissionRules, createAdmission, NO_ADMISSION_RULES } from '../policy/admission.ts';
import { createSnapshot, type PolicySettings } from '../policy/decide.ts';
import type { Stage } from '../policy/stage.ts';
import { createTally, TALLY_BYTES } from '../policy/tally.ts';
import { createPeerTable, peerTableBytes } from '../ring/peers.ts';
import type { Ring } from '../ring/ring-types.ts';
import { createSightings, type Sightings } from '../telemetry/sightings.ts';
import { parseAddress } from '../wire/address.ts';
import { composeInside, type FenceInside } from './inside.ts';
import { composeTls, type FenceTls } from './tls.ts';

/** Where a fence's events go besides its own sightings: the log. */
export interface FenceSink {
  rejection(fence: string, rejection: Rejection): void;
  fault(fence: string, fault: Fault): void;
  /** Every few seconds: what the ring of a fence says now; only of fences with inspection. */
  findings(fence: string, ring: Ring, nowMs: number): void;
}

/** A fence put together, not yet started. */
export interface Fence<Path extends DataPath = DataPath> {
  readonly config: FenceConfig;
  readonly context: FenceContext;
  readonly path: Path;
  readonly sightings: Sightings;
  readonly inside: FenceInside;
  readonly tls: FenceTls;
  settings(): PolicySettings;
  /** What decides about frames now. */
  rules(): FenceRules;
  /** Takes effect with the next frame; resolves once it is in force in workers too. Whether it is wise is the caller's business. */
  setRules(change: RulesChange): Promise<void>;
  /** Every buffer that this fence counts in (policy/tally.ts readTallies). */
  tallies(): readonly ArrayBufferLike[];
}

/** What of a fence's rules can change while it runs. */
export interface RulesChange {
  readonly stage?: Stage;
  readonly starting?: boolean;
  readonly admission?: AdmissionRules;
  readonly policy?: Partial<Omit<PolicySettings, 'stage'>>;
}

/** Milliseconds since the epoch as the process's start saw it; never runs backwards, and is the same in every thread. */
export function monotonicNow(): number {
  return performance.timeOrigin + performance.now();
}

interface Core {
  readonly context: FenceContext;
  readonly sightings: Sightings;
  readonly inside: FenceInside;
  readonly tls: FenceTls;
  readonly tallyBuffer: SharedArrayBuffer;
  readonly peersBuffer: SharedArrayBuffer;
  settings(): PolicySettings;
  rules(): FenceRules;
  change(change: RulesChange): void;
}

async function createCore(config: FenceConfig, sink: FenceSink, pump: Pump): Promise<Core> {
  const peersBuffer = new SharedArrayBuffer(peerTableBytes(config.memory.peers));
  const tallyBuffer = new SharedArrayBuffer(TALLY_BYTES);
  const sightings = createSightings({ windowMs: config.memory.windowMs });
  const { dialects, unterminatedTls, shield } = config;
  let rules: FenceRules = {
    policy: { stage: config.stage ?? config.floor, ...dialects, unterminatedTls, shield },
    admission: { ...NO_ADMISSION_RULES, cidrs: config.cidrs },
    starting: false,
  };
  let snapshot = createSnapshot(rules.policy);
  let admission = createAdmission(rules.admission);
  const peers = createPeerTable(peersBuffer, config.memory);
  const onFault = (fault: Fault) => sink.fault(config.name, fault);
  const inside = await composeInside({
    config,
    pump,
    now: monotonicNow,
    proven(address, nowMs) {
      const bytes = parseAddress(address);
      return bytes !== undefined && peers.recall(bytes, nowMs).proven;
    },
    mayChange: () => snapshot.settings.stage !== 'observe',
    onExcerpt: (source, text) => sightings.excerpt(source, text),
    onFault,
  });
  const tls = await composeTls(config, monotonicNow, onFault);
  const context: FenceContext = {
    name: config.name,
    label: config.label,
    snapshot: () => snapshot,
    admission: () => admission,
    starting: () => rules.starting,
    doubts: NO_DOUBTS,
    peers,
    tally: createTally(tallyBuffer),
    inside: inside.inside,
    now: monotonicNow,
    onRejection(rejection) {
      sightings.note(rejection);
      sink.rejection(config.name, rejection);
    },
    onFault,
  };
  return {
    context,
    sightings,
    inside,
    tls,
    tallyBuffer,
    peersBuffer,
    settings: () => snapshot.settings,
    rules: () => rules,
    change({ stage, policy, admission: admissionRules, starting }) {
      rules = {
        policy: { ...rules.policy, ...policy, ...(stage === undefined ? {} : { stage }) },
        admission: admissionRules ?? rules.admission,
        starting: starting ?? rules.starting,
      };
      snapshot = createSnapshot(rules.policy);
      if (admissionRules !== undefined) admission = createAdmission(admissionRules);
    },
  };
}

function assemble<Path extends DataPath>(config: FenceConfig, core: Core, path: Path, sink: FenceSink): Fence<Path> {
  const { ring } = core.inside;
  const tellFindings = () => {
    if (ring !== undefined) sink.findings(config.name, ring, monotonicNow());
  };
  core.inside.start(() => path.insideChanged(), tellFindings);
  core.tls.start();
  return {
    config,
    context: core.context,
    path,
    sightings: core.sightings,
    inside: core.inside,
    tls: core.tls,
    settings: core.settings,
    rules: core.rules,
    setRules(change) {
      core.change(change);
      return path.rulesChanged();
    },
    tallies: () => [core.tallyBuffer, ...path.tallies()],
  };
}

/** Composes a listen fence; its path can also carry an app of this process (outboundPacket, outboundStream). */
export async function composeListenFence(
  config: FenceConfig & { readonly mode: ListenMode },
  sink: FenceSink,
  pump: Pump,
): Promise<Fence<ListenPath>> {
  const core = await createCore(config, sink, pump);
  const { createListenPath } = await import('../datapath/listen.ts');
  const { listen, app } = config.mode;
  return assemble(config, core, createListenPath(core.context, { listen, app, streams: core.tls.streams }), sink);
}

async function composeTransparentFence(
  config: FenceConfig & { readonly mode: TransparentMode },
  sink: FenceSink,
  pump: Pump,
): Promise<Fence> {
  const core = await createCore(config, sink, pump);
  const { createTransparentPath } = await import('../datapath/linux/transparent.ts');
  const { kind: _kind, whenDown: _whenDown, ...ports } = config.mode;
  const path = createTransparentPath(core.context, {
    ...ports,
    streams: core.tls.streams,
    worker: {
      label: config.label,
      peersBuffer: core.peersBuffer,
      peers: config.memory,
      rules: core.rules,
      ask: () => {},
      inside: core.inside.rules,
      rings: core.inside.rings,
    },
  });
  return assemble(config, core, path, sink);
}

/** Composes the fence that `config` describes; `pump` is the process's. Rejects with a KeyFileError or a CertFileError when its files cannot be read. */
export function composeFence(config: FenceConfig, sink: FenceSink, pump: Pump): Promise<Fence> {
  const { mode } = config;
  return mode.kind === 'listen'
    ? composeListenFence({ ...config, mode }, sink, pump)
    : composeTransparentFence({ ...config, mode }, sink, pump);
}
