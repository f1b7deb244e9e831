/** A fence that takes another configuration while it runs: the part of it that can change (control/reload.ts). */
import type { FenceConfig } from '../config/types.ts';
import { nearestPossible } from '../control/stage-guard.ts';
import type { OwnedStageMachine } from '../control/stage-machine.ts';
import type { StageWish } from '../control/stage-types.ts';
import type { Stage } from '../policy/stage.ts';
import type { FenceAdmission } from './admission.ts';
import { policyOf, type RulesChange } from './fence-rules.ts';

/** The configuration of a fence. */
export interface ConfigKeeper {
  /** As it is in force. */
  config(): FenceConfig;
  /** The one that is being taken, while one is; otherwise the one in force. What the fence can be follows it. */
  incoming(): FenceConfig;
  set(config: FenceConfig): void;
  /** Runs `act` while `config` is the incoming one. */
  during<T>(config: FenceConfig, act: () => Promise<T>): Promise<T>;
}

export function createConfigKeeper(first: FenceConfig): ConfigKeeper {
  let current = first;
  let incoming: FenceConfig | undefined;
  return {
    config: () => current,
    incoming: () => incoming ?? current,
    set(config) {
      current = config;
    },
    async during(config, act) {
      incoming = config;
      try {
        return await act();
      } finally {
        incoming = undefined;
      }
    },
  };
}

export interface Reconfigure {
  /** Takes who is admitted. */
  identity(next: FenceConfig): Promise<void>;
  /** Why the stage that `next` means cannot be entered now; undefined when it can. `before` is the configuration that `next` replaces. */
  refusal(next: FenceConfig, before: FenceConfig): Promise<string | undefined>;
  /** Takes all of `next` at once, or says why its stage cannot be entered. */
  take(next: FenceConfig, before: FenceConfig): Promise<string | undefined>;
}

export interface ReconfigureOptions {
  readonly keeper: ConfigKeeper;
  readonly machine: OwnedStageMachine;
  readonly admission: FenceAdmission;
  /** Resolves when every thread decides by it. */
  setRules(change: RulesChange): Promise<void>;
}

export function createReconfigure({ keeper, machine, admission, setRules }: ReconfigureOptions): Reconfigure {
  const identityOf = ({ cidrs, dns, names, graceMs }: FenceConfig) => ({ cidrs, dns, names, graceMs });
  const wishOf = (next: FenceConfig, before: FenceConfig): StageWish | undefined => {
    const asked = next.stage !== before.stage && next.stage !== undefined;
    // While the stage is not known yet, only a named one is a wish.
    if (machine.starting() && !asked) return undefined;
    const stage: Stage = nearestPossible(asked ? next.stage : machine.stage(), next);
    return asked || stage !== machine.stage()
      ? { stage, force: false, origin: 'config', by: 'the configuration' }
      : undefined;
  };
  return {
    async identity(next) {
      const wanted = identityOf(next);
      if (JSON.stringify(wanted) === JSON.stringify(identityOf(keeper.config()))) return;
      keeper.set({ ...keeper.config(), ...wanted });
      admission.change(wanted);
      await setRules({ admission: admission.rules() });
    },
    async refusal(next, before) {
      const wish = wishOf(next, before);
      return wish === undefined ? undefined : keeper.during(next, async () => machine.refusal(wish)?.why);
    },
    async take(next, before) {
      const wish = wishOf(next, before);
      if (wish !== undefined) {
        const answer = await keeper.during(next, () => machine.request(wish));
        if (!answer.ok) return answer.why;
      }
      keeper.set(next);
      machine.setAuto(next.auto);
      await setRules({ policy: policyOf(next) });
      return undefined;
    },
  };
}
