/** bench/RESULTS.md: the figures of a run with all that is needed to judge them. */
import { writeFileSync } from 'node:fs';
import type { Machine } from './machine.ts';
import { type Context, ENGINES, type Engine, type Measure } from './measure.ts';
import { median, type Results, spread } from './results.ts';

export interface Report {
  readonly machine: Machine;
  readonly context: Pick<Context, 'cores' | 'rounds' | 'sampleMs'>;
  readonly results: Results;
  /** Measure → what its stand had to say. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  /** Measures that came to no end, with the reason. */
  readonly failed: readonly string[];
  readonly measures: readonly Measure[];
}

export function writeReport(file: string, report: Report): void {
  writeFileSync(file, reportText(report));
}

export function reportText(report: Report): string {
  const measures = report.measures.map((measure) => section(measure, report));
  return `${[head(report), ...failures(report), floorTable(report), ...measures].join('\n\n')}\n`;
}

function head({ machine, context, results }: Report): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return `# Results of \`npm run bench\`

Written by the run itself. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryMb} MB, Linux ${machine.kernel}; ${versions.join(', ')}. A network namespace of its own; TCP's congestion control is ${machine.congestion}.

Whatever is measured runs on core ${context.cores.proxy} alone, all its threads; the load and the app share core ${context.cores.load}. ${context.rounds} interleaved rounds after one that warms up, ${context.sampleMs} ms each;
medians, with the lowest and the highest round as parts of the median. Ratios are medians of the ratios within a round.

**Of a core, or by the clock.** Rates (\`udp_forward…\`, \`tcp_connections\`, \`tcp_bulk_mbps\`) are by "a second of a core": a second in which the kernel
ran the proxy's threads (schedstat, and the core's ksoftirqd). While a proxy has more to do than it can, that is its rate on a core of its own,
whatever else runs on the machine; a proxy that the load could not fill is named in its notes. The figures by the clock stand beside, as \`…_wall\`; on a machine that does nothing
else both agree.

**What a datagram holds.** \`udp_forward\`, \`udp_forward_64\` and \`udp_forward_transparent\`, which the floors stand against, carry a plain user message: the label is checked and stripped, and nothing
inside is of interest. Gossip costs the fence more, because it is opened, scanned and learned from, and the other forwarders the same: \`udp_forward_gossip…\`, \`cpu_seconds_per_million_packets\`,
and all other measures on UDP carry a ping with an alive message. No floor stands against \`udp_forward_gossip…\`; its ratios are in the tables.

What arrives at the app is checked. UDP, every datagram: the label is gone, nothing else has changed, the order of a source is kept. TCP, every connection: it begins with what was
sent (for a fence: without the label, with the digest made anew) and has its length; the bytes of a bulk are counted, not compared. The fence's own metrics
must agree with the app's count, to the datagram. A mismatch ends the measure and fails the run.

**nginx runs in two settings.** \`nginx\` is the one in which it forwards fastest in both directions (sessions kept, \`multi_accept on\`); \`nginx_oneway\` closes the session with every
datagram (\`proxy_responses 0\`), as is set where no answers are expected, and pays for a socket each time. **The floors of 4, 2.5 and 1.8 times nginx on UDP stand against \`nginx_oneway\`**:
they were set where a C forwarder was 4.2 to 4.5 times as fast as nginx. ${cAgainstNginx(results)} The
ratios to both are in every table, and a floor of 1 of our own stands against \`nginx\`. On TCP there is one nginx. nginx checks no label and strips none; haproxy checks and strips none, and forwards no UDP; on TCP C
checks, Go does not, and neither changes a byte.

**\`node\` is what the portable engine could be at most**: a bare forwarder on node:dgram and node:net that checks the label (and strips it on UDP), without policy, counters, deadlines, or anything else of
a fence (bench/node). A floor of the portable engine above what \`node\` reaches cannot be met on this node; no floor stands against it.`;
}

/** What no forwarder of this kind can exceed by much: how fast C is against both settings of nginx, in this run. */
function cAgainstNginx({ series }: Results): string {
  const forward = series.get('udp_forward') ?? {};
  const times = (engine: Engine) => {
    const value = median((forward.c ?? []).map((rate, round) => rate / (forward[engine]?.[round] ?? Number.NaN)));
    return Number.isNaN(value) ? 'an unknown number of' : value.toFixed(1);
  };
  return `In this run C is ${times('nginx_oneway')} times as fast as \`nginx_oneway\` and ${times('nginx')} times as fast as \`nginx\`.`;
}

function failures({ failed }: Report): string[] {
  return failed.length === 0 ? [] : [`## Failed\n\n${failed.map((line) => `- ${oneLine(line)}`).join('\n')}`];
}

/** Text of any shape for one line of a list. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

function floorTable({ results }: Report): string {
  const rows = results.floors.map(
    ({ name, value, bound, floor, ok }) =>
      `| ${name} | ${Number.isNaN(value) ? 'not measured' : value.toPrecision(3)} | ${bound} ${floor} | ${ok ? 'yes' : '**no**'} |`,
  );
  return `## Floors\n\n| what | value | floor | reached |\n|---|---|---|---|\n${rows.join('\n')}`;
}

function section(measure: Measure, report: Report): string {
  const tables =
    measure.group === 'growth'
      ? [curveTable(measure, report)]
      : Object.entries(measure.figures).map(([figure, words]) => figureTable(figure, words, report));
  const notes = (report.notes.get(measure.name) ?? []).map((note) => `- ${note}`);
  return [`## ${measure.name}`, ...tables, ...(notes.length > 0 ? [notes.join('\n')] : [])].join('\n\n');
}

/** A row for each size, in the order of the measure's figures: medians, how far rounds lay from them, and what that is of the smallest size. */
function curveTable({ figures }: Measure, { results }: Report): string {
  const names = Object.keys(figures);
  const engines = ENGINES.filter((engine) => names.some((name) => results.series.get(name)?.[engine] !== undefined));
  const cell = (name: string, engine: Engine) => {
    const values = results.series.get(name)?.[engine] ?? [];
    const first = results.series.get(names[0] ?? '')?.[engine] ?? [];
    const [low, high] = spread(values);
    const growth = median(values.map((value, round) => value / (first[round] ?? Number.NaN)));
    return `${median(values).toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)}), ${growth.toFixed(2)} ×`;
  };
  const rows = Object.entries(figures).map(
    ([name, words]) => `| \`${name}\`: ${words} | ${engines.map((engine) => cell(name, engine)).join(' | ')} |`,
  );
  const columns = `| median (spread), against the first row | ${engines.join(' | ')} |\n|---|${engines.map(() => '---|').join('')}`;
  return `${columns}\n${rows.join('\n')}`;
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
