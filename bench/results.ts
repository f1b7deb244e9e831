/** From rounds to medians, ratios and floors. Ratios are those within a round: whatever else the machine did, it did to both. */
import { FLOORS, type Floor } from './floors.ts';
import { ENGINES, type Engine, FENCE_ENGINES, type Round } from './measure.ts';

/** Values of a figure by engine, one a round; a round without one has NaN. */
export type Series = Readonly<Partial<Record<Engine, readonly number[]>>>;

export interface FloorResult {
  readonly name: string;
  readonly figure: string;
  /** NaN (null in the JSON): not measured. */
  readonly value: number;
  readonly floor: number;
  readonly bound: 'at least' | 'at most';
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

/**
 * `engines` and `figures`: what was asked for. A floor that needs another one is left out; one whose figure or engine was asked for and
 * gave nothing is missed.
 */
export function resultsOf(
  series: ReadonlyMap<string, Series>,
  engines: readonly Engine[],
  figures: readonly string[],
): Results {
  const asked = FLOORS.filter(
    ({ figure, engine, versus = [engine] }) =>
      figures.includes(figure) && engines.includes(engine) && versus.some((one) => engines.includes(one)),
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
  return { series, medians, ratios, floors: asked.map((floor) => judge(floor, series)) };
}

/**
 * The median of the rounds' ratios. Of several others that of the best, against whom it is lowest (used where more is better): chosen by all
 * rounds, since the highest of several figures of one round is mostly the one that noise lifted most.
 */
function ratio(series: Series, engine: Engine, others: readonly Engine[]): number {
  const ratios = others.map((other) => median(withinRounds(series[engine] ?? [], series[other] ?? [])));
  const known = ratios.filter((value) => !Number.isNaN(value));
  return known.length === 0 ? Number.NaN : Math.min(...known);
}

function withinRounds(own: readonly number[], others: readonly number[]): number[] {
  return own.map((value, round) => {
    const other = others[round] ?? Number.NaN;
    // Of what is added to a direct way, a round of noise can leave less than nothing: that says nothing about either.
    return other > 0 && value > 0 ? value / other : Number.NaN;
  });
}

function judge(floor: Floor, all: ReadonlyMap<string, Series>): FloorResult {
  const { name, figure, atLeast, atMost } = floor;
  const value = measured(floor, all);
  const bound = atLeast ?? atMost ?? Number.NaN;
  // NaN, an engine or a figure that was not measured, is below every floor.
  const within = (slack: number) => (atLeast === undefined ? value <= bound * slack : value >= bound / slack);
  return {
    name,
    figure,
    value,
    floor: bound,
    bound: atLeast === undefined ? 'at most' : 'at least',
    ok: within(1),
    halfOk: within(2),
  };
}

function measured({ figure, engine, versus, against }: Floor, all: ReadonlyMap<string, Series>): number {
  const series = all.get(figure) ?? {};
  if (versus !== undefined) return ratio(series, engine, versus);
  const own = series[engine] ?? [];
  if (against === undefined) return median(own);
  const other = all.get(against)?.[engine] ?? [];
  return median(own.map((value, round) => value / (other[round] ?? Number.NaN)));
}

/**
 * What is wrong with a round: an engine that was to be compared and gave nothing, a figure that is no number (an engine that
 * took no time has done nothing). Empty when it is sound.
 */
export function faultsOf(round: Round, engines: readonly Engine[]): readonly string[] {
  const missing = engines.filter((engine) => Object.keys(round[engine] ?? {}).length === 0);
  const odd = Object.entries(round).flatMap(([engine, figures]) =>
    Object.entries(figures).flatMap(([figure, value]) =>
      Number.isFinite(value) ? [] : [`${engine}: ${figure} is ${value}`],
    ),
  );
  return [...missing.map((engine) => `${engine}: no figure`), ...odd];
}
