/** bench/RESULTS.md: the figures of a run with all that is needed to judge them. */
import { writeFileSync } from 'node:fs';
import type { Machine } from './machine.ts';
import { type Context, ENGINES, type Engine, type Measure } from './measure.ts';
import { median, type Results, spread } from './results.ts';

export interface Report {
  readonly machine: Machine;
  readonly context: Context;
  readonly results: Results;
  /** Measure → what its stand had to say. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  readonly measures: readonly Measure[];
}

export function writeReport(file: string, report: Report): void {
  const parts = [head(report), floorTable(report), ...report.measures.map((measure) => section(measure, report))];
  writeFileSync(file, `${parts.join('\n\n')}\n`);
}

function head({ machine, context }: Report): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return `# Results of \`npm run bench\`

Written by the run itself. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryMb} MB, Linux ${machine.kernel}; ${versions.join(', ')}.

Whatever is measured runs on core ${context.cores.proxy} alone, all its threads; the load and the app share core ${context.cores.load}. ${context.rounds} interleaved rounds after one that warms up, ${context.sampleMs} ms each;
medians, with the lowest and the highest round as parts of the median. Ratios are medians of the ratios within a round.

"A second of a core" is a second in which the kernel ran the proxy's threads (schedstat, and the core's ksoftirqd): while a proxy has more to do than it can,
that is its rate on a core of its own, whatever else runs on the machine. That it had more to do is checked (the load sent more than arrived). The \`_wall\`
figures are by the clock; on a machine that does nothing else both agree.

What arrives at the app is checked, every datagram: the label is gone, nothing else has changed, the order of a source is kept; and the fence's own metrics
must agree with the app's count, to the datagram. A mismatch ends the measure.

\`nginx\` is the setting in which it forwards fastest in both directions (sessions kept, \`multi_accept on\`); \`nginx_oneway\` closes the session with every
datagram (\`proxy_responses 0\`), as is set where no answers are expected. nginx checks no label. haproxy forwards no UDP.`;
}

function floorTable({ results }: Report): string {
  const rows = results.floors.map(
    ({ name, value, floor, ok }) => `| ${name} | ${value.toPrecision(3)} | ${floor} | ${ok ? 'yes' : '**no**'} |`,
  );
  return `## Floors\n\n| what | value | floor | reached |\n|---|---|---|---|\n${rows.join('\n')}`;
}

function section(measure: Measure, report: Report): string {
  const tables = Object.entries(measure.figures).map(([figure, words]) => figureTable(figure, words, report));
  const notes = (report.notes.get(measure.name) ?? []).map((note) => `- ${note}`);
  return [`## ${measure.name}`, ...tables, ...(notes.length > 0 ? [notes.join('\n')] : [])].join('\n\n');
}

function figureTable(figure: string, words: string, { results }: Report): string {
  const series = results.series.get(figure);
  if (series === undefined) return `\`${figure}\`: ${words}. Not measured.`;
  const ratio = (engine: Engine, fence: 'linux' | 'portable') => {
    const ratios = results.ratios[fence === 'linux' ? figure : `${figure}_${fence}`];
    const value = ratios?.[`vs_${engine}`];
    return value === undefined ? '' : value.toFixed(2);
  };
  const rows = ENGINES.flatMap((engine) => {
    const values = series[engine];
    if (values === undefined) return [];
    const [low, high] = spread(values);
    const spreadText = `${low.toFixed(2)}–${high.toFixed(2)}`;
    return [
      `| ${engine} | ${format(median(values))} | ${spreadText} | ${ratio(engine, 'linux')} | ${ratio(engine, 'portable')} |`,
    ];
  });
  const columns = '| engine | median | spread | linux against it | portable against it |\n|---|---|---|---|---|';
  return `\`${figure}\`: ${words}\n\n${columns}\n${rows.join('\n')}`;
}

function format(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3);
}
