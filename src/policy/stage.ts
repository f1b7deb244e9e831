/** The steps of adoption, in order. */
export const STAGES = ['observe', 'accept', 'label', 'enforce'] as const;
export type Stage = (typeof STAGES)[number];

export const STAGE_INDEX = { observe: 0, accept: 1, label: 2, enforce: 3 } as const satisfies Record<Stage, number>;

/** What frames of a speaker carry. */
export const DIALECTS = ['none', 'own'] as const;
export type Dialect = (typeof DIALECTS)[number];

/** What an app takes: unlabelled only, own-labelled only, or both. */
export const TAKES = ['none', 'own', 'any'] as const;
export type Takes = (typeof TAKES)[number];

/** What the app speaks, and what the ring's bare members put on the wire today. */
export interface Dialects {
  readonly sends: Dialect;
  readonly takes: Takes;
  readonly wire: Dialect;
}

/** Whether the app's dialect differs from the wire's, so that `observe` would cut it off: it starts at `accept`. */
export function needsTranslation({ sends, takes, wire }: Dialects): boolean {
  return sends !== wire || (takes !== wire && takes !== 'any');
}

/** The dialect that a fence puts on the wire in a stage from `accept` on. */
export function wireDialect(stage: Exclude<Stage, 'observe'>, wire: Dialect): Dialect {
  return stage === 'accept' ? wire : 'own';
}
