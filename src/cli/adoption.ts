/** What moves one fence through its adoption, put together: who is admitted, who is asked, what that says, and the stage. */
import type { Clock } from '../control/clock.ts';
import type { Fleet } from '../control/fleet.ts';
import { changeText, createStageMachine, type OwnedStageMachine } from '../control/stage-machine.ts';
import type { StageOrigin } from '../control/stage-types.ts';
import { createStarter, type Starter } from '../control/starter.ts';
import type { StateFile } from '../control/state-file.ts';
import { appSeals } from '../datapath/app-seals.ts';
import type { FenceContext, Stranger, StreamSettings } from '../datapath/engine.ts';
import type { Stage } from '../policy/stage.ts';
import type { Ring } from '../ring/ring-types.ts';
import { parseAddress } from '../wire/address.ts';
import { composeAdmission, type FenceAdmission } from './admission.ts';
import { askIntervalMs, createAsks } from './asks.ts';
import { createLookup } from './dns.ts';
import { composeEvidence, type FenceEvidence } from './evidence.ts';
import { watchFallbacks } from './fallback-watch.ts';
import { policyOf, type RulesChange } from './fence-rules.ts';
import type { FirstStage } from './first-stage.ts';
import { createOwnAddresses, type OwnAddresses } from './own-addresses.ts';
import type { ConfigKeeper } from './reconfigure.ts';

/** Where a fence says what it does by itself; `message` is one line, escaped. */
export type Say = (level: 'info' | 'warn', message: string, fields?: object) => void;

export interface AdoptionOptions {
  readonly keeper: ConfigKeeper;
  readonly first: FirstStage;
  readonly clock: Clock;
  readonly stateFile: StateFile | undefined;
  /** The port of the admin API, here and at every other member; 0: no fence is asked. */
  readonly adminPort: number;
  readonly context: FenceContext;
  readonly ring: Ring | undefined;
  readonly streams: StreamSettings;
  readonly say: Say;
  tallies(): readonly ArrayBufferLike[];
  /** Resolves when every thread decides by it. */
  setRules(change: RulesChange): Promise<void>;
  /** What was asked about the stranger at `address` until now is answered. */
  answered(address: string): void;
}

export interface FenceAdoption {
  readonly machine: OwnedStageMachine;
  readonly admission: FenceAdmission;
  readonly evidence: FenceEvidence;
  /** Somebody is unknown, and frames of theirs may wait: ends in `answered`. */
  ask(peer: Stranger): void;
  start(): void;
  stop(): void;
}

const ORIGIN_TEXT: Readonly<Record<StageOrigin, string>> = {
  config: 'the configuration',
  state_file: 'the state file',
  peers: 'the fences of the first peers',
  default: 'nowhere else, the lowest',
  api: 'the admin API',
  auto: 'auto',
};

export function composeAdoption(options: AdoptionOptions): FenceAdoption {
  const { clock, context, ring } = options;
  const { config } = options.keeper;
  const { memory, adoption } = config();
  const own = createOwnAddresses(config().mode, clock.now);
  const admission = admissionOf(options);
  const intervalMs = () => askIntervalMs(adoption.probeIntervalMs, machine.stage(), options.keeper.incoming());
  const asks = createAsks(options, {
    intervalMs,
    targets: () => evidence.targets(),
    pingTargets: () => evidence.pingTargets(),
  });
  const evidence = composeEvidence({
    memory,
    probeIntervalMs: intervalMs,
    stage: () => machine.stage(),
    // A stage that a new configuration names is judged by the dialects that come with it.
    dialects: () => options.keeper.incoming().dialects,
    admission: context.admission,
    now: clock.now,
    ring,
    peers: context.peers,
    dns: admission,
    probe: asks.prober.report,
    fence: ({ address, name }) => asks.fleet.report(address, name),
    fenceAsked: (address) => options.adminPort === 0 || asks.fleet.asked(address),
    local: own,
    sealedWithoutKeys: () => appSeals(context) === true && context.inside.keyring() === undefined,
  });
  const fallbacks = watchFallbacks(config().name, evidence, options);
  const machine = createMachine(options, evidence, asks.fleet);
  const starter = options.first.starting ? startFromPeers(options, machine, admission, asks.fleet, own) : undefined;
  return {
    machine,
    admission,
    evidence,
    ask(peer) {
      starter?.seen(peer);
      void Promise.all([admission.ask(peer), starter?.ended()]).then(() => {
        starter?.look();
        options.answered(peer.address);
      });
    },
    start() {
      const { name, label } = config();
      tellStart(options, machine);
      if (!machine.starting()) void options.stateFile?.save(name, label, machine.stage());
      admission.start((rules) => {
        void options.setRules({ admission: rules });
        starter?.look();
      });
      asks.prober.start();
      asks.fleet.start();
      fallbacks.start();
      machine.start();
    },
    stop() {
      machine.stop();
      starter?.stop();
      asks.prober.stop();
      asks.fleet.stop();
      fallbacks.stop();
      admission.stop();
    },
  };
}

function admissionOf({ keeper, clock, ring, context }: AdoptionOptions): FenceAdmission {
  const config = keeper.config();
  return composeAdmission({
    config,
    refreshMs: config.adoption.dnsRefreshMs,
    ring,
    lookup: createLookup(),
    clock,
    absolve(address) {
      const bytes = parseAddress(address);
      if (bytes !== undefined) context.peers.absolve(bytes, context.now());
    },
    onFault: context.onFault,
  });
}

function createMachine(options: AdoptionOptions, evidence: FenceEvidence, fleet: Fleet): OwnedStageMachine {
  const { keeper, first, say, stateFile, context } = options;
  const { name, label, auto, adoption } = keeper.config();
  return createStageMachine({
    clock: options.clock,
    start: first,
    starting: first.starting,
    auto,
    settleMs: adoption.settleMs,
    random: Math.random,
    bounds: keeper.incoming,
    step: evidence.step,
    async refresh() {
      await fleet.refresh();
      evidence.renew();
    },
    // All that goes with a stage is taken at once, so that no frame meets a new stage in the old dialect.
    apply: (stage) => options.setRules({ stage, starting: false, policy: policyOf(keeper.incoming()) }),
    onChange(change) {
      void stateFile?.save(name, label, change.to);
      const { from, to, origin, force, by } = change;
      say('warn', changeText(change), { from, to, origin, force, by, readiness: change.step?.readiness });
      sayUnruled(to, context, say);
    },
    onWaits: (text) => say('info', text === undefined ? 'auto waits for nothing any more' : `auto waits: ${text}`),
  });
}

function sayUnruled(stage: Stage, context: FenceContext, say: Say): void {
  if (stage === 'observe' || context.admission().hasRules) return;
  say('warn', `NO ADMISSION RULES at stage ${stage}: everyone is admitted`);
}

function tellStart({ say, first, context }: AdoptionOptions, machine: OwnedStageMachine): void {
  const stage = machine.stage();
  if (machine.starting()) {
    say('info', 'stage not known yet: once the app speaks, the fences of the first peers are asked', {
      starting: true,
    });
    return;
  }
  const bent = first.wanted === stage ? '' : `, which says ${first.wanted}: that cannot be here`;
  say('info', `stage ${stage} from ${ORIGIN_TEXT[machine.origin()]}${bent}`, { stage, origin: machine.origin() });
  sayUnruled(stage, context, say);
}

function startFromPeers(
  { clock, keeper, context }: AdoptionOptions,
  machine: OwnedStageMachine,
  admission: FenceAdmission,
  fleet: Fleet,
  own: OwnAddresses,
): Starter {
  return createStarter({
    clock,
    waitMs: keeper.config().adoption.strangerWaitMs,
    bounds: keeper.incoming,
    listed: () => admission.listed(),
    mayAsk: (address) => !own.has(address) && context.admission().admits(address),
    first: fleet.first,
    begin: machine.begin,
  });
}
