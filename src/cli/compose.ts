/** The composition of one fence: from its configuration to its context (policy, memory, counters) and its data path. */
import type { FenceConfig, ListenMode, TransparentMode } from '../config/types.ts';
import type { Clock } from '../control/clock.ts';
import type { StateFile } from '../control/state-file.ts';
import type { Cut, DataPath, Fault, FenceContext, FenceRules, Rejection } from '../datapath/engine.ts';
import type { Pump } from '../datapath/inspection-pump.ts';
import type { ListenPath } from '../datapath/listen.ts';
import type { PolicySettings } from '../policy/decide.ts';
import type { Ring } from '../ring/ring-types.ts';
import type { Sightings } from '../telemetry/sightings.ts';
import { composeAdoption, type FenceAdoption } from './adoption.ts';
import { monotonicNow } from './clock.ts';
import type { EngineChoice, Engines } from './engines.ts';
import { type Core, createCore, workerOptions } from './fence-core.ts';
import type { RulesChange } from './fence-rules.ts';
import type { FenceInside } from './inside.ts';
import { createReconfigure, type Reconfigure } from './reconfigure.ts';
import type { FenceTls } from './tls.ts';

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
  /** Why the path's engine carries it, in one line. */
  readonly engineReason: string;
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
  /** Every buffer that this fence counts in (policy/tally-reading.ts). */
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

function assemble<Path extends DataPath>(
  config: FenceConfig,
  core: Core,
  path: Path,
  engineReason: string,
  env: FenceEnv,
): Fence<Path> {
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
    engineReason,
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

/** Composes a listen fence for an app of this process, which sends through the fence too (outboundPacket, outboundStream). */
export async function composeInsideFence(
  config: FenceConfig & { readonly mode: ListenMode },
  env: FenceEnv,
): Promise<Fence<ListenPath>> {
  const core = await createCore(config, env);
  const { createListenPath } = await import('../datapath/listen.ts');
  const { listen, app } = config.mode;
  const path = createListenPath(core.context, { listen, app, streams: core.tls.streams });
  return assemble(config, core, path, 'the app runs in this process', env);
}

async function composeListenFence(
  config: FenceConfig & { readonly mode: ListenMode },
  env: FenceEnv,
  core: Core,
  { linux, why }: EngineChoice,
): Promise<Fence> {
  const { listen, app } = config.mode;
  const options = { listen, app, streams: core.tls.streams };
  if (linux === undefined) {
    const { createListenPath } = await import('../datapath/listen.ts');
    return assemble(config, core, createListenPath(core.context, options), why, env);
  }
  const { createEngineListenPath } = await import('../datapath/linux/listen-path.ts');
  const worker = workerOptions(config, core);
  return assemble(config, core, createEngineListenPath(core.context, { ...options, worker }, linux), why, env);
}

async function composeTransparentFence(
  config: FenceConfig & { readonly mode: TransparentMode },
  env: FenceEnv,
  core: Core,
  { linux, why }: EngineChoice,
): Promise<Fence> {
  if (linux === undefined) throw new TypeError('a transparent fence needs the Linux engine');
  const { createTransparentPath } = await import('../datapath/linux/transparent.ts');
  const { kind: _kind, whenDown: _whenDown, ...ports } = config.mode;
  const options = { ...ports, streams: core.tls.streams, worker: workerOptions(config, core) };
  return assemble(config, core, createTransparentPath(core.context, options, linux), why, env);
}

/**
 * Composes the fence that `config` describes. Rejects with a KeyFileError or a CertFileError when its files cannot be read, and with a
 * StartError when this process cannot have its engine.
 */
export async function composeFence(config: FenceConfig, env: FenceEnv): Promise<Fence> {
  const { mode } = config;
  // The engine's thread comes up meanwhile.
  const [core, engine] = await Promise.all([createCore(config, env), env.engines.choose(config)]);
  return mode.kind === 'listen'
    ? await composeListenFence({ ...config, mode }, env, core, engine)
    : await composeTransparentFence({ ...config, mode }, env, core, engine);
}
