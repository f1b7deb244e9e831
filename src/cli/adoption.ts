/** What moves one fence through its adoption, put together: the stage machine and what it asks. */
import type { FenceConfig } from '../config/types.ts';
import type { Clock } from '../control/clock.ts';
import { nearestPossible } from '../control/stage-guard.ts';
import { changeText, createStageMachine, type OwnedStageMachine } from '../control/stage-machine.ts';
import type { StageOrigin } from '../control/stage-types.ts';
import type { StateFile } from '../control/state-file.ts';
import type { Admission } from '../policy/admission.ts';
import type { Stage } from '../policy/stage.ts';
import type { RulesChange } from './fence-rules.ts';

/** Where a fence says what it does by itself. */
export type Say = (level: 'info' | 'warn', message: string, fields?: object) => void;

export interface AdoptionOptions {
  config(): FenceConfig;
  readonly first: FirstStage;
  readonly clock: Clock;
  readonly stateFile: StateFile | undefined;
  readonly say: Say;
  admission(): Admission;
  /** Resolves when every thread decides by it. */
  setRules(change: RulesChange): Promise<void>;
}

export interface FenceAdoption {
  readonly machine: OwnedStageMachine;
  start(): void;
  stop(): void;
}

/** Where a fence starts. */
export interface FirstStage {
  readonly stage: Stage;
  readonly origin: StageOrigin;
}

/** An explicit stage, then the state file, then the lowest. */
export function firstStage(config: FenceConfig, stateFile: StateFile | undefined): FirstStage {
  if (config.stage !== undefined) return { stage: config.stage, origin: 'config' };
  const kept = stateFile?.stageOf(config.name, config.label);
  if (kept !== undefined) return { stage: nearestPossible(kept, config), origin: 'state_file' };
  return { stage: config.floor, origin: 'default' };
}

const ORIGIN_TEXT: Readonly<Record<StageOrigin, string>> = {
  config: 'the configuration',
  state_file: 'the state file',
  peers: 'the fences of the first peers',
  default: 'nowhere: it is the lowest',
  api: 'the admin API',
  auto: 'auto',
};

export function composeAdoption(options: AdoptionOptions): FenceAdoption {
  const { config, first, clock, stateFile, say } = options;
  const { name, label, auto, adoption } = config();
  const keep = (stage: Stage) => void stateFile?.save(name, label, stage);
  const machine = createStageMachine({
    clock,
    start: first,
    starting: false,
    auto,
    settleMs: adoption.settleMs,
    random: Math.random,
    bounds: config,
    step: (to) => ({ to, readiness: 'unknown', against: [], againstTotal: 0, notes: [] }),
    apply: (stage) => options.setRules({ stage, starting: false }),
    onChange(change) {
      keep(change.to);
      const { from, to, origin, force, by } = change;
      say('warn', changeText(change), { from, to, origin, force, by, readiness: change.step?.readiness });
      if (to === 'observe' || options.admission().hasRules) return;
      say('warn', `NO ADMISSION RULES at stage ${to}: everyone is admitted`);
    },
    onWaits: (text) => say('info', text === undefined ? 'auto waits for nothing any more' : `auto waits: ${text}`),
  });
  return {
    machine,
    start() {
      say('info', `stage ${machine.stage()} from ${ORIGIN_TEXT[machine.origin()]}`, { stage: machine.stage() });
      keep(machine.stage());
      machine.start();
    },
    stop: machine.stop,
  };
}
