/** What readiness says: for each step whether it is safe, and by name and address what stands against it. */
import type { Stage } from '../policy/stage.ts';

/** `unknown` is said as such, and is never safe. */
export type Readiness = 'safe' | 'unsafe' | 'unknown';

/** What can stand against a step. A closed list; `unsafe` ones are evidence, the others its absence. */
export const AGAINST_CODES = [
  /** The admission rules do not name it: its unlabelled frames would be rejected. */
  'not_admitted',
  /** It answered no labelled ping, on UDP or TCP, though it was asked. */
  'drops_labelled',
  /** It was not asked yet, or not often enough to tell. */
  'not_asked_yet',
  /** DNS says that it should be there, and gossip does not know it. */
  'never_seen',
  /** It sent unlabelled frames within the window. */
  'sends_unlabelled',
  /** It sent nothing with the own label within the window. */
  'not_heard',
  /** Its fence is at a stage that the step would cut. */
  'fence_behind',
  /** Its fence is at a stage that would cut us after the step (a roll-back). */
  'fence_ahead',
  /** It has no fence that answers, and sends own-labelled frames: what takes those may take no others after the step (a roll-back). */
  'bare_labelled',
  /** Something answers at its admin port that does not prove to be its fence, or it was not asked yet. */
  'fence_unknown',
  /** Several members share its address, so that what the address shows proves nothing for it. */
  'ambiguous',
  /** About the ring as a whole: no full member table was seen yet. */
  'members_unknown',
  /** About the ring as a whole: the fence has not watched for a whole window yet. */
  'window_short',
  /** About the ring as a whole: memory was evicted within the window. */
  'memory_evicted',
  /** About the ring as a whole: gossip is encrypted, and there are no keys to ask with. */
  'sealed_without_keys',
  /** About the ring as a whole: DNS has not answered yet. */
  'dns_unknown',
] as const;
export type AgainstCode = (typeof AGAINST_CODES)[number];

export interface Against {
  readonly code: AgainstCode;
  /** Whether it is evidence that the step cuts; otherwise evidence is missing. */
  readonly cuts: boolean;
  /** The member; undefined where it is about the ring as a whole. Attacker-chosen: escape before showing. */
  readonly name: string | undefined;
  readonly address: string | undefined;
  readonly port: number | undefined;
  /** One line without the member's name: "drops labelled pings (its fence is at observe)". */
  readonly text: string;
}

/** The readiness for one stage from the present one, up or down. */
export interface Step {
  readonly to: Stage;
  readonly readiness: Readiness;
  /** At most AGAINST_MAX; the ones that cut first. */
  readonly against: readonly Against[];
  /** How many there are in all. */
  readonly againstTotal: number;
  /** What should be said loudly although it does not stand against the step: no admission rules, a half-labelled ring, foreigners that it cuts as it should. */
  readonly notes: readonly string[];
}

/** Rows of one step that are kept: the rest is counted. */
export const AGAINST_MAX = 200;
