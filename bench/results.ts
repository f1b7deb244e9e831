/** From rounds to medians, ratios and floors. Ratios are those within a round: whatever else the machine did, it did to both. */
import { FLOORS, type Floor } from './floors.ts';
import { ENGINES, type Engine, FENCE_ENGINES, type Round } from './measure.ts';

/** Values of a figure by engine, one a round; a round without one has NaN. */
export type Series = Readonly<Partial<Record<Engine, readonly number[]>>>;

export interface FloorResult {
  readonly name: string;
  readonly value: number;
  readonly floor: number;
  readonly ok: boolean;
  /** Whether the value stays at least within half (in the worse direction) of the floor: what the short form asks. */
  readonly halfOk: boolean;
}

export interface Results {
  /** Figure → engine → values of the rounds. */
  readonly series: ReadonlyMap<string, Series>;
  /** Figure → engine → median. */
  readonly medians: Readonly<Record<string, Readonly<Partial<Record<Engine, number>>>>>;
  /** Figure (of the Linux engine), or figure and engine → `vs_<engine>` → median ratio. */
  readonly ratios: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly floors: readonly FloorResult[];
}

export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 0 ? (low + high) / 2 : high;
}

/** Lowest and highest, as parts of the median: how far rounds lay from each other. */
export function spread(values: readonly number[]): readonly [number, number] {
  const known = values.filter((value) => !Number.isNaN(value));
  const middle = median(known);
  return [Math.min(...known) / middle, Math.max(...known) / middle];
}

export function collect(rounds: readonly Round[], into: Map<string, Series>): void {
  const figures = new Set(rounds.flatMap((round) => Object.values(round).flatMap((one) => Object.keys(one))));
  for (const figure of figures) {
    const series: Partial<Record<Engine, readonly number[]>> = {};
    for (const engine of ENGINES) {
      const values = rounds.map((round) => round[engine]?.[figure] ?? Number.NaN);
      if (values.some((value) => !Number.isNaN(value))) series[engine] = values;
    }
    into.set(figure, series);
  }
}

/** `engines`: those that were asked for; a floor that needs another one is left out, one whose engine failed is missed. */
export function resultsOf(series: ReadonlyMap<string, Series>, engines: readonly Engine[]): Results {
  const asked = FLOORS.filter(
    ({ engine, versus = [engine] }) => engines.includes(engine) && versus.some((one) => engines.includes(one)),
  );
  const medians: Record<string, Partial<Record<Engine, number>>> = {};
  const ratios: Record<string, Record<string, number>> = {};
  for (const [figure, byEngine] of series) {
    medians[figure] = Object.fromEntries(Object.entries(byEngine).map(([engine, values]) => [engine, median(values)]));
    for (const engine of FENCE_ENGINES) {
      const against = Object.fromEntries(
        ENGINES.filter(
          (other) => other !== engine && byEngine[engine] !== undefined && byEngine[other] !== undefined,
        ).map((other) => [`vs_${other}`, ratio(byEngine, engine, [other])]),
      );
      if (Object.keys(against).length > 0) ratios[engine === 'linux' ? figure : `${figure}_${engine}`] = against;
    }
  }
  return { series, medians, ratios, floors: asked.flatMap((floor) => judge(floor, series)) };
}

/** The median of the rounds' ratios. Of several others the best of the round counts (the highest: used where more is better). */
function ratio(series: Series, engine: Engine, others: readonly Engine[]): number {
  const own = series[engine] ?? [];
  return median(
    own.map((value, round) => {
      const best = Math.max(
        ...others.map((other) => series[other]?.[round] ?? Number.NaN).filter((v) => !Number.isNaN(v)),
      );
      return Number.isFinite(best) ? value / best : Number.NaN;
    }),
  );
}

/** Nothing when the figure was not measured (`--only`). */
function judge(
  { name, figure, engine, versus, atLeast, atMost }: Floor,
  all: ReadonlyMap<string, Series>,
): FloorResult[] {
  const series = all.get(figure);
  if (series === undefined) return [];
  const value = versus === undefined ? median(series[engine] ?? []) : ratio(series, engine, versus);
  const floor = atLeast ?? atMost ?? Number.NaN;
  // NaN, an engine that gave no figure, is below every floor.
  const within = (slack: number) => (atLeast === undefined ? value <= floor * slack : value >= floor / slack);
  return [{ name, value, floor, ok: within(1), halfOk: within(2) }];
}
