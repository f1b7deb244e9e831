/** What a measure of the benchmark is, and what it is given. A measure sets up a stand once; a round runs every engine once, in turn. */
import type { Programs } from './build.ts';

/** Who is compared: the fence on each of its engines, and what else could stand in its place. */
export const ENGINES = ['linux', 'portable', 'nginx', 'nginx_oneway', 'haproxy', 'c', 'go', 'node'] as const;
export type Engine = (typeof ENGINES)[number];
export const FENCE_ENGINES = ['linux', 'portable'] as const satisfies readonly Engine[];

/** Groups that `--only` takes. */
export const GROUPS = ['udp', 'tcp', 'process', 'growth'] as const;
export type Group = (typeof GROUPS)[number];

/** Figures of one engine in one round: the key is the figure's name in the JSON, such as `udp_forward`. */
export type Figures = Readonly<Record<string, number>>;
export type Round = Partial<Record<Engine, Figures>>;

export interface Measure {
  readonly name: string;
  readonly group: Group;
  /** What the figures are, a line each for RESULTS.md: key → words with the unit. */
  readonly figures: Readonly<Record<string, string>>;
  /** The engines that it compares; one that cannot be started fails the run. */
  readonly engines: readonly Engine[];
  /** Rounds that count; default: the run's own (`context.rounds`). */
  readonly rounds?: (context: Context) => number;
  /** Left out of the short form. */
  readonly fullOnly?: boolean;
  /** Starts what it needs. */
  open(context: Context): Promise<Stand>;
}

/** A round that says nothing of the fence: a competitor failed in it, or the machine did not carry the load. It is thrown away and run again. */
export class SpoiledRound extends Error {}

/** What is thrown when `engine` did not carry its load: a competitor spoils the round, a fence fails the measure. */
export function shortfall(engine: Engine, why: string): Error {
  const message = `${engine}: ${why}`;
  return FENCE_ENGINES.some((fence) => fence === engine) ? new Error(message) : new SpoiledRound(message);
}

export interface Stand {
  /**
   * Runs every engine once, in turn, for about `context.sampleMs` each. The runner throws the first round away: it warms up. Throws a SpoiledRound
   * where another one may be run in its place.
   */
  round(): Promise<Round>;
  /** Lines for RESULTS.md about how it was measured (configurations, what was checked). Read after the last round. */
  notes?(): readonly string[];
  /** Ends all that was started. */
  close(): Promise<void>;
}

export interface Context {
  /** Programs of bench/native, built; absolute paths. */
  readonly programs: Programs;
  /** `ringfence.js` and the node to run it with (a copy of dist/, so that a build meanwhile does not disturb). */
  readonly ringfence: { readonly node: string; readonly entry: string };
  /** Core of what is measured, and core of the load and of the app. */
  readonly cores: { readonly proxy: number; readonly load: number };
  readonly engines: readonly Engine[];
  readonly rounds: number;
  readonly sampleMs: number;
  readonly short: boolean;
  /** Scratch directory, removed at the end. */
  readonly dir: string;
  say(line: string): void;
}

/** Runs `sample` for each engine in turn; a helper for `Stand.round`. */
export async function inTurn(engines: readonly Engine[], sample: (engine: Engine) => Promise<Figures>): Promise<Round> {
  const round: Round = {};
  for (const engine of engines) round[engine] = await sample(engine);
  return round;
}
