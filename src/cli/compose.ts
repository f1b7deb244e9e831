/** The composition of one fence: from its configuration to its context (policy, memory, counters) and its data path. */
import type { FenceConfig, ListenMode, TransparentMode } from '../config/types.ts';
import type { Clock } from '../control/clock.ts';
import type { StateFile } from '../control/state-file.ts';
import type { Cut, DataPath, Fault, FenceContext, FenceRules, Rejection, Stranger } from '../datapath/engine.ts';
import type { Pump } from '../datapath/inspection-pump.ts';
import { turnsOnPeer } from '../datapath/judge.ts';
import type { ListenPath } from '../datapath/listen.ts';
import type { WorkerOptions } from '../datapath/options.ts';
import { createTimedDoubts, type TimedDoubts } from '../datapath/timed-doubts.ts';
import type { PolicySettings } from '../policy/decide.ts';
import { createTally, TALLY_BYTES } from '../policy/tally.ts';
import { createPeerTable, peerTableBytes } from '../ring/peers.ts';
import type { Ring } from '../ring/ring-types.ts';
import { createSightings, type Sightings } from '../telemetry/sightings.ts';
import { parseAddress } from '../wire/address.ts';
import { composeAdoption, type FenceAdoption } from './adoption.ts';
import { monotonicNow } from './clock.ts';
import type { Engines } from './engines.ts';
import { createRulesKeeper, type RulesChange, type RulesKeeper } from './fence-rules.ts';
import { type FirstStage, firstStage } from './first-stage.ts';
import { composeInside, type FenceInside } from './inside.ts';
import { type ConfigKeeper, createConfigKeeper, createReconfigure, type Reconfigure } from './reconfigure.ts';
import { composeTls, type FenceTls } from './tls.ts';

/** Where a fence's events go besides its own sightings: the log. */
export interface FenceSink {
  rejection(fence: string, rejection: Rejection): void;
  fault(fence: string, fault: Fault): void;
  /** What a fence does by itself: stages, admission. `message` is one line, escaped. */
  say(fence: string, level: 'info' | 'warn', message: string, fields?: object): void;
  /** Every few seconds: what the ring of a fence says now; only of fences with inspection. */
  findings(fence: string, ring: Ring, nowMs: number): void;
}

/** A fence put together, not yet started. */
export interface Fence<Path extends DataPath = DataPath> {
  /** As it is in force: asked anew each time. */
  readonly config: FenceConfig;
  readonly context: FenceContext;
  readonly path: Path;
  readonly sightings: Sightings;
  readonly inside: FenceInside;
  readonly tls: FenceTls;
  readonly adoption: FenceAdoption;
  readonly reconfigure: Reconfigure;
  settings(): PolicySettings;
  /** What decides about frames now. */
  rules(): FenceRules;
  /** Takes effect with the next frame; resolves once it is in force in workers too. Whether it is wise is the caller's business. */
  setRules(change: RulesChange): Promise<void>;
  /** Stops everything of it, and says what that cut. */
  stop(): Promise<Cut>;
  /** Every buffer that this fence counts in (policy/tally.ts readTallies). */
  tallies(): readonly ArrayBufferLike[];
}

/** What the fences of one process share. */
export interface FenceEnv {
  readonly sink: FenceSink;
  readonly pump: Pump;
  readonly clock: Clock;
  readonly engines: Engines;
  /** Where stages are kept; undefined: nowhere. */
  readonly stateFile: StateFile | undefined;
  /** The port of the admin API, here and at every other member; 0: no fence is asked. */
  readonly adminPort: number;
}

interface Core {
  readonly context: FenceContext;
  readonly sightings: Sightings;
  readonly inside: FenceInside;
  readonly tls: FenceTls;
  readonly tallyBuffer: SharedArrayBuffer;
  readonly peersBuffer: SharedArrayBuffer;
  readonly keeper: ConfigKeeper;
  readonly rules: RulesKeeper;
  readonly first: FirstStage;
  readonly doubts: TimedDoubts;
  /** Who is asked about strangers, and looks at what gossip says of them, once that is there. */
  readonly asks: { ask(peer: Stranger): void; look(): void };
}

async function createCore(config: FenceConfig, { sink, pump, stateFile }: FenceEnv): Promise<Core> {
  const peersBuffer = new SharedArrayBuffer(peerTableBytes(config.memory.peers));
  const tallyBuffer = new SharedArrayBuffer(TALLY_BYTES);
  const sightings = createSightings({ windowMs: config.memory.windowMs });
  const keeper = createConfigKeeper(config);
  const first = firstStage(config, stateFile);
  const rules = createRulesKeeper(config, first);
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
    quarantine: () => keeper.config().quarantine,
    graceMs: () => keeper.config().graceMs,
    mayChange: () => rules.rules().policy.stage !== 'observe',
    onExcerpt: (source, text) => sightings.excerpt(source, text),
    onFault,
  });
  const tls = await composeTls(config, monotonicNow, onFault);
  const asks = { ask: (_peer: Stranger) => {}, look: () => {} };
  const doubts = createTimedDoubts({
    canAsk: () => rules.rules().admission.byDns,
    starting: () => rules.rules().starting,
    ask: (peer) => asks.ask(peer),
    now: monotonicNow,
    ...waitsOf(config),
  });
  const context: FenceContext = {
    name: config.name,
    label: config.label,
    snapshot: rules.snapshot,
    admission: rules.admission,
    starting: () => rules.rules().starting,
    doubts,
    peers,
    tally: createTally(tallyBuffer),
    inside: inside.inside,
    now: monotonicNow,
    onRejection(rejection) {
      if (turnsOnPeer(rejection.reason)) asks.look();
      sightings.note(rejection);
      sink.rejection(config.name, rejection);
    },
    onFault,
  };
  return { context, sightings, inside, tls, tallyBuffer, peersBuffer, keeper, rules, first, doubts, asks };
}

/** How long, and how much of it, frames of strangers may wait. */
function waitsOf({ adoption }: FenceConfig): { readonly waitMs: number; readonly bytesMax: number } {
  return { waitMs: adoption.strangerWaitMs, bytesMax: adoption.strangerWaitBytes };
}

function assemble<Path extends DataPath>(config: FenceConfig, core: Core, path: Path, env: FenceEnv): Fence<Path> {
  const { sink } = env;
  const { ring } = core.inside;
  const tellFindings = () => {
    if (ring !== undefined) sink.findings(config.name, ring, monotonicNow());
  };
  core.inside.start(() => path.insideChanged(), tellFindings);
  core.tls.start();
  const setRules = (change: RulesChange) => {
    core.rules.change(change);
    return path.rulesChanged();
  };
  const { keeper } = core;
  const tallies = () => [core.tallyBuffer, ...path.tallies()];
  const adoption = composeAdoption({
    keeper,
    first: core.first,
    clock: env.clock,
    stateFile: env.stateFile,
    adminPort: env.adminPort,
    context: core.context,
    ring,
    streams: core.tls.streams,
    say: (level, message, fields) => sink.say(config.name, level, message, fields),
    tallies,
    setRules,
    answered: (address) => path.answered(address),
  });
  core.asks.ask = adoption.ask;
  core.asks.look = () => adoption.admission.look();
  core.rules.change({ admission: adoption.admission.rules() });
  return {
    get config() {
      return keeper.config();
    },
    context: core.context,
    path,
    sightings: core.sightings,
    inside: core.inside,
    tls: core.tls,
    adoption,
    reconfigure: createReconfigure({ keeper, ...adoption, setRules }),
    settings: () => core.rules.rules().policy,
    rules: core.rules.rules,
    setRules,
    tallies,
    async stop() {
      adoption.stop();
      core.inside.stop();
      core.tls.stop();
      const cut = await path.stop();
      core.doubts.stop();
      return cut;
    },
  };
}

/** Composes a listen fence; its path can also carry an app of this process (outboundPacket, outboundStream). */
export async function composeListenFence(
  config: FenceConfig & { readonly mode: ListenMode },
  env: FenceEnv,
): Promise<Fence<ListenPath>> {
  const core = await createCore(config, env);
  const { createListenPath } = await import('../datapath/listen.ts');
  const { listen, app } = config.mode;
  return assemble(config, core, createListenPath(core.context, { listen, app, streams: core.tls.streams }), env);
}

/** What the engine's thread is given of a fence. */
function workerOptions(config: FenceConfig, core: Core): WorkerOptions {
  return {
    label: config.label,
    peersBuffer: core.peersBuffer,
    peers: config.memory,
    rules: core.rules.rules,
    ask: (peer) => core.asks.ask(peer),
    waits: waitsOf(config),
    floodPacketsPerSecond: config.floodPacketsPerSecond,
    inside: core.inside.rules,
    rings: core.inside.rings,
  };
}

async function composeTransparentFence(
  config: FenceConfig & { readonly mode: TransparentMode },
  env: FenceEnv,
): Promise<Fence> {
  const core = await createCore(config, env);
  const { createTransparentPath } = await import('../datapath/linux/transparent.ts');
  const { kind: _kind, whenDown: _whenDown, ...ports } = config.mode;
  const options = { ...ports, streams: core.tls.streams, worker: workerOptions(config, core) };
  const path = createTransparentPath(core.context, options, await env.engines.linux());
  return assemble(config, core, path, env);
}

/** Composes the fence that `config` describes. Rejects with a KeyFileError or a CertFileError when its files cannot be read. */
export function composeFence(config: FenceConfig, env: FenceEnv): Promise<Fence> {
  const { mode } = config;
  return mode.kind === 'listen'
    ? composeListenFence({ ...config, mode }, env)
    : composeTransparentFence({ ...config, mode }, env);
}
