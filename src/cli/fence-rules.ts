/** What decides about the frames of one fence, as one value that changes whole. */
import type { FenceConfig } from '../config/types.ts';
import type { FenceRules } from '../datapath/engine.ts';
import { type Admission, type AdmissionRules, createAdmission, NO_ADMISSION_RULES } from '../policy/admission.ts';
import { createSnapshot, type PolicySettings, type Snapshot } from '../policy/decide.ts';
import type { Stage } from '../policy/stage.ts';

/** What of a fence's rules can change while it runs. */
export interface RulesChange {
  readonly stage?: Stage;
  readonly starting?: boolean;
  readonly admission?: AdmissionRules;
  readonly policy?: Partial<Omit<PolicySettings, 'stage'>>;
}

export interface RulesKeeper {
  rules(): FenceRules;
  snapshot(): Snapshot;
  admission(): Admission;
  /** Takes effect with the next frame of this thread. */
  change(change: RulesChange): void;
}

/** What of a configuration is policy, without the stage. */
export function policyOf({ dialects, unterminatedTls, shield }: FenceConfig): Omit<PolicySettings, 'stage'> {
  return { ...dialects, unterminatedTls, shield };
}

export function createRulesKeeper(config: FenceConfig, first: { stage: Stage; starting: boolean }): RulesKeeper {
  let rules: FenceRules = {
    policy: { stage: first.stage, ...policyOf(config) },
    admission: { ...NO_ADMISSION_RULES, cidrs: config.cidrs },
    starting: first.starting,
  };
  let snapshot = createSnapshot(rules.policy);
  let admission = createAdmission(rules.admission);
  return {
    rules: () => rules,
    snapshot: () => snapshot,
    admission: () => admission,
    change({ stage, policy, admission: admissionRules, starting }) {
      rules = {
        policy: { ...rules.policy, ...policy, ...(stage === undefined ? {} : { stage }) },
        admission: admissionRules ?? rules.admission,
        starting: starting ?? rules.starting,
      };
      if (stage !== undefined || policy !== undefined) snapshot = createSnapshot(rules.policy);
      if (admissionRules !== undefined) admission = createAdmission(admissionRules);
    },
  };
}
