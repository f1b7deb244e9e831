/** `ringfence inspect FILE|-`: who is talking to my ring, out of a capture. */
import { KeyFileError, openKeyFiles } from '../control/key-files.ts';
import { KEY_FILE_MAX_BYTES } from '../control/key-text.ts';
import { readSmallFile } from '../control/read-file.ts';
import { CAPTURE_SENTENCES } from '../wire/capture/frame.ts';
import { type CaptureReader, createCaptureReader } from '../wire/capture/reader.ts';
import { createKeyring, type Keyring } from '../wire/encryption.ts';
import { CliError, EXIT, oneLine } from './exit.ts';
import { type Analysis, createAnalysis } from './inspect-analysis.ts';
import { FRAMES_IN_DOCUMENT_MAX } from './inspect-bounds.ts';
import { buildReport } from './inspect-build.ts';
import { labelText } from './inspect-gossip.ts';
import { readInput } from './inspect-input.ts';
import { createOutput, type Output } from './inspect-output.ts';
import { type PortFilter, parsePorts } from './inspect-ports.ts';
import type { Finding, FrameLine, Report } from './inspect-report.ts';
import { findingLines, frameText, reportText, summaryText } from './inspect-text.ts';
import { takeSignals } from './signals.ts';

export interface InspectFlags {
  readonly json?: boolean;
  readonly follow?: boolean;
  readonly frames?: boolean;
  readonly label?: string;
  readonly keyFile?: readonly string[];
  readonly port?: readonly string[];
}

/** Between two summaries of `--follow`. */
const SUMMARY_EVERY_MS = 30_000;

interface Run {
  readonly file: string;
  readonly flags: InspectFlags;
  readonly ports: PortFilter;
  readonly output: Output;
  readonly reader: CaptureReader;
  readonly analysis: Analysis;
  /** For the one document of `--json --frames`. */
  readonly frames: readonly FrameLine[];
  framesLeftOut(): number;
}

/** Resolves with the exit code; rejects with a CliError when the flags are wrong or the capture cannot be read. */
export async function inspect(file: string, flags: InspectFlags): Promise<number> {
  const ports = parsePorts(flags.port ?? []);
  if (typeof ports === 'string') throw new CliError(EXIT.usage, [oneLine(`ringfence: --port: ${ports}`)]);
  const keyring = await readKeys(flags.keyFile ?? []);
  const run = createRun(file, flags, ports, keyring);
  const stop = new AbortController();
  void takeSignals()
    .next()
    .then(() => stop.abort());
  const timer = flags.follow === true ? setInterval(() => summarise(run), SUMMARY_EVERY_MS) : undefined;
  try {
    for await (const chunk of readInput({ file, follow: flags.follow === true, signal: stop.signal })) {
      if (!run.reader.push(chunk) || !(await run.output.flush())) break;
    }
  } finally {
    clearInterval(timer);
  }
  run.reader.end();
  run.analysis.dissector.end();
  return finish(run);
}

async function readKeys(files: readonly string[]): Promise<Keyring | undefined> {
  if (files.length === 0) return undefined;
  try {
    const read = (file: string) => readSmallFile(file, KEY_FILE_MAX_BYTES);
    const keys = await openKeyFiles({ files, read, onKeys: () => {}, onProblem: () => {} });
    return createKeyring(keys.keys());
  } catch (error) {
    if (error instanceof KeyFileError) throw new CliError(EXIT.failure, [oneLine(`ringfence: ${error.message}`)]);
    throw error;
  }
}

function createRun(file: string, flags: InspectFlags, ports: PortFilter, keyring: Keyring | undefined): Run {
  const { json = false, follow = false, label } = flags;
  const output = createOutput(process.stdout);
  const frames: FrameLine[] = [];
  let framesLeftOut = 0;
  const wanted = labelOf(label);
  const onFinding = (finding: Finding) => {
    if (!follow) return;
    if (json) output.line(JSON.stringify({ type: 'finding', ...finding }));
    else for (const line of findingLines(finding)) output.line(line);
  };
  const onFrame = (line: FrameLine) => {
    if (wanted !== undefined && line.label !== wanted) return;
    if (!json) output.line(frameText(line));
    else if (follow) output.line(JSON.stringify({ type: 'frame', ...line }));
    else if (frames.length < FRAMES_IN_DOCUMENT_MAX) frames.push(line);
    else framesLeftOut++;
  };
  const analysis = createAnalysis({ ports, keyring, onFinding, onFrame: flags.frames === true ? onFrame : undefined });
  const reader = createCaptureReader(analysis.frame);
  return { file, flags, ports, output, reader, analysis, frames, framesLeftOut: () => framesLeftOut };
}

/** `--label` as the tables show labels: the empty text stands for frames without one. */
function labelOf(option: string | undefined): string | null | undefined {
  return option === undefined ? undefined : labelText(Buffer.from(option));
}

function reportOf({ file, flags, ports, reader, analysis }: Run): Report {
  return buildReport({ file, reader, analysis, ports, label: labelOf(flags.label) });
}

function summarise(run: Run): void {
  const report = reportOf(run);
  const { counts, lastAt } = report.capture;
  const sizes = { members: report.members.length, findings: report.findings.length, problems: report.problems.length };
  const labels = report.labels.map(({ label }) => label);
  run.output.line(
    run.flags.json === true
      ? JSON.stringify({ type: 'summary', at: lastAt, counts, labels, ...sizes })
      : summaryText(report),
  );
  void run.output.flush();
}

async function finish(run: Run): Promise<number> {
  const { flags, output, reader, analysis, frames, file } = run;
  const failure = reader.failure();
  const read = analysis.dissector.counts().frames > 0;
  if (failure === undefined || read) {
    const report = reportOf(run);
    const listed = flags.frames === true ? { frames, framesLeftOut: run.framesLeftOut() } : {};
    if (flags.json !== true) output.line(reportText(report));
    else if (flags.follow === true) output.line(JSON.stringify({ type: 'report', ...report }));
    else output.line(JSON.stringify({ ...report, ...listed }, null, 2));
  }
  await output.flush();
  if (failure === undefined) return EXIT.ok;
  const where = failure.reason === 'empty' ? '' : ` at byte ${failure.at}`;
  throw new CliError(EXIT.failure, [oneLine(`ringfence: ${file}${where}: ${CAPTURE_SENTENCES[failure.reason]}`)]);
}
