/** The stage of a fence as others ask for it and about it. */
import type { Stage } from '../policy/stage.ts';
import type { Step } from '../ring/readiness-types.ts';

/** Who set a stage. A closed list: a metric label. */
export const STAGE_ORIGINS = ['config', 'state_file', 'peers', 'default', 'api', 'auto'] as const;
export type StageOrigin = (typeof STAGE_ORIGINS)[number];

export interface StageWish {
  readonly stage: Stage;
  /** Take a step that is not known to be safe, or two at once. */
  readonly force: boolean;
  readonly origin: Extract<StageOrigin, 'config' | 'api' | 'auto'>;
  /** Who asked, for the log. */
  readonly by: string;
}

/** What became of a wish. */
export type StageAnswer =
  /** In force in every thread. `step` is what readiness said of it before: with force, whom it cuts. */
  | { readonly ok: true; readonly from: Stage; readonly to: Stage; readonly step: Step | undefined }
  /** Refused; `why` is one line. `step` holds what stands against it, where that is the reason. `final`: force does not help. */
  | {
      readonly ok: false;
      readonly from: Stage;
      readonly why: string;
      readonly step: Step | undefined;
      readonly final: boolean;
    };

export interface StageMachine {
  stage(): Stage;
  origin(): StageOrigin;
  sinceMs(): number;
  /** No stage is known yet: the fences of the first peers are asked. */
  starting(): boolean;
  auto(): boolean;
  /** What auto waits for, one line, escaped; undefined where it is off, or at the top. */
  waitsFor(): string | undefined;
  request(wish: StageWish): Promise<StageAnswer>;
  /** Changes since the start, by where they led and who made them. */
  changes(): readonly { readonly to: Stage; readonly origin: StageOrigin; readonly count: number }[];
}
