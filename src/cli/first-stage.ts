/** Where a fence starts: an explicit stage, then the state file, then what the fences of the first peers report, then the lowest. */
import type { FenceConfig } from '../config/types.ts';
import { nearestPossible } from '../control/stage-guard.ts';
import type { StageOrigin } from '../control/stage-types.ts';
import type { StateFile } from '../control/state-file.ts';
import type { Stage } from '../policy/stage.ts';

export interface FirstStage {
  readonly stage: Stage;
  /** What was asked for, where the fence cannot be that. */
  readonly wanted: Stage;
  readonly origin: StageOrigin;
  /** Nobody said a stage: the first peers' fences are to be asked, and `stage` stands in. */
  readonly starting: boolean;
}

export function firstStage(config: FenceConfig, stateFile: StateFile | undefined): FirstStage {
  const { stage, floor, adoption } = config;
  if (stage !== undefined) return { stage, wanted: stage, origin: 'config', starting: false };
  const kept = stateFile?.stageOf(config.name, config.label);
  if (kept !== undefined) {
    return { stage: nearestPossible(kept, config), wanted: kept, origin: 'state_file', starting: false };
  }
  // Without time to wait nobody can be asked.
  return { stage: floor, wanted: floor, origin: 'default', starting: adoption.strangerWaitMs > 0 };
}
