/**
 * `npm run bench [-- --json FILE] [--results FILE] [--short] [--only udp,tcp,udp_rtt] [--engines linux,c] [--rounds N]`: the fence on each of its
 * engines beside nginx, haproxy, a C, a Go and a bare node forwarder, in interleaved rounds. Exit code 1 when a floor is missed (with --short: missed by
 * more than half, on a machine that does other things too), or when an engine could not be measured. A run of everything writes
 * bench/RESULTS.md, reached or not.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { copyDist } from '../test/lab/dist.ts';
import { buildPrograms } from './build.ts';
import { describeMachine, prepareNetwork } from './machine.ts';
import { type Context, ENGINES, type Engine, type Measure } from './measure.ts';
import { MEASURES } from './measures.ts';
import { exitOnSignals } from './processes.ts';
import { writeReport } from './report.ts';
import { collect, faultsOf, type Results, resultsOf, type Series } from './results.ts';
import { soundRound } from './rounds.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    results: { type: 'string' },
    short: { type: 'boolean', default: false },
    only: { type: 'string' },
    engines: { type: 'string' },
    rounds: { type: 'string' },
  },
});

const ROUNDS = 5;
const rounds = Number(options.rounds ?? (options.short ? 2 : ROUNDS));
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds: ${options.rounds} is no count`);
/** A run of everything is what bench/RESULTS.md says; a part of it or the short form is written where it is told to. */
const whole = !options.short && options.only === undefined && options.engines === undefined && rounds >= ROUNDS;
const resultsFile = options.results ?? (whole ? join(import.meta.dirname, 'RESULTS.md') : undefined);

// A bundle of certificates that a machine asks every node to read: 20 ms of each start, which are not the fence's.
delete process.env['NODE_EXTRA_CA_CERTS'];

const say = (line: string) => void process.stdout.write(`${line}\n`);

/** The measures that `--only` names, by their own name or their group; all without it. */
function chosen(): readonly Measure[] {
  if (options.only === undefined) return MEASURES.filter(({ fullOnly = false }) => !(options.short && fullOnly));
  const names = options.only.split(',');
  const unknown = names.find((name) => !MEASURES.some((measure) => measure.name === name || measure.group === name));
  if (unknown !== undefined)
    throw new Error(`--only: there is no ${unknown}; ${MEASURES.map(({ name }) => name).join(', ')}`);
  return MEASURES.filter(({ name, group }) => names.includes(name) || names.includes(group));
}

function chosenEngines(): readonly Engine[] {
  const names = options.engines?.split(',');
  const unknown = names?.find((name) => !ENGINES.some((engine) => engine === name));
  if (unknown !== undefined) throw new Error(`--engines: there is no ${unknown}; ${ENGINES.join(', ')}`);
  return ENGINES.filter((engine) => names === undefined || names.includes(engine));
}

async function measureAll(
  context: Context,
): Promise<{ results: Results; notes: Map<string, readonly string[]>; failed: string[] }> {
  const series = new Map<string, Series>();
  const notes = new Map<string, readonly string[]>();
  const failed: string[] = [];
  for (const measure of chosen()) {
    const startMs = performance.now();
    const spoiled: string[] = [];
    try {
      notes.set(measure.name, await measureOne(measure, context, series, spoiled));
    } catch (error) {
      failed.push(
        [`${measure.name}: ${(error as Error).message}`, ...spoiled].join('; before, a round was thrown away: '),
      );
      say(`${measure.name} FAILED: ${(error as Error).stack}`);
    }
    say(`${measure.name}: ${((performance.now() - startMs) / 1_000).toFixed(0)} s`);
  }
  const figures = chosen().flatMap((measure) => Object.keys(measure.figures));
  return { results: resultsOf(series, context.engines, figures), notes, failed };
}

/** `spoiled`: told why rounds were thrown away. */
async function measureOne(
  measure: Measure,
  context: Context,
  series: Map<string, Series>,
  spoiled: string[],
): Promise<readonly string[]> {
  const stand = await measure.open(context);
  try {
    const rounds = [];
    const count = measure.rounds?.(context) ?? context.rounds;
    for (let i = 0; i <= count; i++) {
      const round = await soundRound(stand, spoiled, say);
      if (i === 0) continue;
      const asked = measure.engines.filter((engine) => context.engines.includes(engine));
      const faults = faultsOf(round, asked);
      if (faults.length > 0) throw new Error(faults.join('; '));
      rounds.push(round);
      say(
        `${measure.name} ${i}/${count} ${JSON.stringify(round, (_, value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value))}`,
      );
    }
    collect(rounds, series);
    return [...(stand.notes?.() ?? []), ...spoiled.map((why) => `thrown away and run again, a round: ${why}`)];
  } finally {
    await stand.close();
  }
}

if (availableParallelism() < 2) throw new Error('the benchmark needs two cores: one for the proxy, one for the load');
exitOnSignals();
prepareNetwork();
const dist = copyDist();
const dir = mkdtempSync(join(tmpdir(), 'ringfence-bench-'));
process.once('exit', () => {
  rmSync(dir, { recursive: true, force: true });
  dist.remove();
});
await run();

async function run(): Promise<void> {
  const machine = describeMachine();
  const context: Context = {
    programs: buildPrograms(),
    ringfence: dist,
    cores: { proxy: 1, load: 0 },
    engines: chosenEngines(),
    rounds,
    sampleMs: options.short ? 500 : 1_500,
    short: options.short,
    dir,
    say,
  };
  const { results, notes, failed } = await measureAll(context);
  const { medians, ratios, floors } = results;
  for (const { name, value, floor, bound, ok } of floors)
    say(`${ok ? 'ok  ' : 'MISS'} ${name}: ${value.toPrecision(3)} (${bound} ${floor})`);
  const json = { machine, ...medians, ratios, floors, failed };
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(json, undefined, 2)}\n`);
  if (resultsFile !== undefined)
    writeReport(resultsFile, { machine, context, results, notes, failed, measures: chosen() });
  const missed = floors.filter(({ ok, halfOk }) => !(options.short ? halfOk : ok));
  if (missed.length > 0 || failed.length > 0) {
    say(`missed: ${[...missed.map(({ name }) => name), ...failed].join('; ')}`);
    process.exitCode = 1;
  }
}
