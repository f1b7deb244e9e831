/** The report of an analysis, as it stands. */
import { CAPTURE_SENTENCES } from '../wire/capture/frame.ts';
import type { CaptureReader } from '../wire/capture/reader.ts';
import type { Analysis } from './inspect-analysis.ts';
import type { LabelText } from './inspect-findings.ts';
import type { PortFilter } from './inspect-ports.ts';
import { REPORT_VERSION, type Report, timeText } from './inspect-report.ts';

export interface BuildOptions {
  /** As the user named it. */
  readonly file: string;
  readonly reader: CaptureReader;
  readonly analysis: Analysis;
  readonly ports: PortFilter;
  /** Only what was said under this label; undefined for everything. */
  readonly label: LabelText | undefined;
}

const PORTS_SHOWN = 5;

export function buildReport({ file, reader, analysis, ports, label }: BuildOptions): Report {
  const { dissector, learner, traffic, findings } = analysis;
  const wanted = (row: { readonly label: LabelText }) => label === undefined || row.label === label;
  return {
    version: REPORT_VERSION,
    capture: {
      file,
      format: reader.format() ?? null,
      firstAt: timeText(analysis.firstMs()),
      lastAt: timeText(analysis.lastMs()),
      counts: { ...dissector.counts() },
      notes: [...captureNotes(reader, analysis), ...gossipNotes(analysis, ports), ...boundNotes(analysis)],
    },
    labels: traffic.labels(learner.memberCount).filter(wanted),
    flows: traffic.flows().filter(wanted),
    members: learner.members(label),
    keys: learner.keys(label),
    instances: learner.instances(label),
    findings: findings.list().filter(({ evidence }) => evidence.some(wanted)),
    problems: traffic.problems().filter(({ first }) => wanted(first)),
  };
}

/** What the capture itself lacks. */
function captureNotes(reader: CaptureReader, { dissector, streams }: Analysis): string[] {
  const counts = dissector.counts();
  const failure = reader.failure();
  const links = dissector.unknownLinks().join(', ');
  const lost = dissector.lostDatagrams();
  return when([
    [
      failure !== undefined,
      () => `reading stopped at byte ${failure?.at}: ${CAPTURE_SENTENCES[failure?.reason ?? 'empty']}`,
    ],
    [reader.cutBytes() > 0, () => `the last record is cut short: ${reader.cutBytes()} bytes of it are there`],
    [counts.cut > 0, () => `a snapshot length cut ${counts.cut} frames: capture with tcpdump -s 0`],
    [counts.linkUnknown > 0, () => `${counts.linkUnknown} frames are of link types that are not read (${links})`],
    [counts.malformed > 0, () => `${counts.malformed} frames have broken or cut IP, UDP or TCP headers`],
    [lost > 0, () => `${lost} datagrams lack fragments`],
    [
      streams.gaps > 0,
      () => `${streams.gaps} TCP exchanges lack bytes that the capture missed; they are read up to there`,
    ],
    [streams.midway > 0, () => `${streams.midway} TCP connections began before the capture and are not read`],
  ]);
}

/** What could not be seen in the gossip, or where it might be. */
function gossipNotes({ dissector, traffic }: Analysis, ports: PortFilter): string[] {
  const counts = dissector.counts();
  const flows = traffic.flows();
  const framesOf = (pick: (row: (typeof flows)[number]) => boolean) =>
    flows.filter(pick).reduce((sum, { frames }) => sum + frames, 0);
  const sealed = framesOf(({ encrypted }) => encrypted === 'sealed');
  const tls = framesOf(({ transport }) => transport === 'tls');
  const elsewhere = dissector
    .otherPorts(PORTS_SHOWN)
    .map(({ port, frames }) => `${port} (${frames})`)
    .join(', ');
  return when([
    [sealed > 0, () => `${sealed} frames are encrypted and no key opens them: give the gossip keys with --key-file`],
    [tls > 0, () => `${tls} connections are TLS: what is inside cannot be seen from outside`],
    [
      flows.length === 0 && counts.frames > 0,
      () => `no gossip on ${ports.text}${elsewhere === '' ? '' : `; most frames are on port ${elsewhere}`} (--port)`,
    ],
  ]);
}

/** What the bounds left out. */
function boundNotes({ dissector, learner, traffic, findings, budget }: Analysis): string[] {
  const evicted = dissector.evictedConnections();
  const rows = traffic.leftOut();
  const learnt = learner.leftOut();
  return when([
    [evicted > 0, () => `${evicted} TCP connections were given up to bound memory`],
    [budget.refused() > 0, () => `${budget.refused()} packets or encrypted streams were too large to be collected`],
    [rows.flows > 0, () => `${rows.flows} frames are in no row of the flow table, which is full`],
    [rows.labels > 0, () => `${rows.labels} frames have labels beyond the first ones, which are not told apart`],
    [rows.problems > 0, () => `${rows.problems} problems are not listed`],
    [
      learnt.labels > 0,
      () => `${learnt.labels} messages have labels beyond the first ones; their members are not listed`,
    ],
    [learnt.entries > 0, () => `${learnt.entries} members, keys or instances made room for others`],
    [findings.leftOut() > 0, () => `${findings.leftOut()} senders, members or findings were left out to bound memory`],
  ]);
}

function when(notes: readonly (readonly [boolean, () => string])[]): string[] {
  return notes.filter(([applies]) => applies).map(([, text]) => text());
}
