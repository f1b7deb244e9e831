/** The report for people: tables of plain text. Everything in a report is escaped already; widths are bounded here. */
import { labelName } from './inspect-findings.ts';
import type { Evidence, Finding, FlowRow, FrameLine, Report } from './inspect-report.ts';

/** Rows of one table; `--json` has all of them. */
const ROWS_MAX = 200;
const CELL_MAX_CHARS = 100;

const label = (text: string | null): string => (text === null ? '(none)' : text);
const time = (at: string | null): string => at?.replace('T', ' ').replace('Z', '') ?? '-';
/** The time of day is enough beside frames of one capture. */
const clock = (at: string | null): string => at?.slice(11, 23) ?? '-';

function table(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const shown = rows.slice(0, ROWS_MAX).map((row) => row.map(cut));
  const widths = heads.map((head, i) => Math.max(head.length, ...shown.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd();
  const more = rows.length > ROWS_MAX ? [`  and ${rows.length - ROWS_MAX} more: --json lists them all`] : [];
  return ['', `${title} (${rows.length})`, line(heads), ...shown.map(line), ...more];
}

function cut(cell: string): string {
  return cell.length > CELL_MAX_CHARS ? `${cell.slice(0, CELL_MAX_CHARS - 3)}...` : cell;
}

function kindsText(kinds: FlowRow['kinds']): string {
  return Object.entries(kinds)
    .toSorted(([, a], [, b]) => b - a)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
}

function evidenceText({ frame, at, from, label: text, what }: Evidence): string {
  return `frame ${frame}, ${time(at)}: ${what} from ${from ?? 'hex text'} with ${labelName(text)}`;
}

/** A finding with its evidence, one line each. */
export function findingLines({ sentence, evidence }: Finding): string[] {
  return [`! ${sentence}`, ...evidence.map((one) => `    ${evidenceText(one)}`)];
}

/** One decoded frame as a line. */
export function frameText({ frame, at, protocol, source, destination, transport, label: text, text: said }: FrameLine) {
  return `#${frame} ${clock(at)} ${protocol} ${transport} ${source} > ${destination} [${label(text)}] ${said}`;
}

/** One line that sums up, for `--follow`. */
export function summaryText({ capture, labels, members, findings, problems }: Report): string {
  const { counts } = capture;
  const names = labels.map((row) => label(row.label)).join(', ') || 'none';
  return `${counts.frames} frames, ${counts.udp + counts.tcp} of gossip; labels: ${names}; ${members.length} members, ${findings.length} findings, ${problems.length} problems`;
}

/** The whole report. */
export function reportText(report: Report): string {
  const { capture, labels, flows, members, keys, instances, findings, problems } = report;
  const { counts } = capture;
  const lines = [
    `${capture.file}: ${capture.format ?? 'no capture'}, ${counts.frames} frames, ${counts.bytes} bytes, ${time(capture.firstAt)} to ${time(capture.lastAt)}`,
    `  gossip: ${counts.udp} UDP datagrams, ${counts.tcp} TCP segments; other ports ${counts.otherPorts}, other protocols ${counts.otherProtocols}, not IP ${counts.notIp}`,
    ...capture.notes.map((note) => `  note: ${note}`),
    ...table(
      'Labels',
      ['label', 'senders', 'frames', 'bytes', 'members', 'first', 'last'],
      labels.map((row) => [
        label(row.label),
        `${row.senders.length}: ${row.senders.slice(0, 3).join(' ')}${row.senders.length > 3 ? ' ...' : ''}`,
        ...[String(row.frames), String(row.bytes), String(row.members), time(row.firstAt), time(row.lastAt)],
      ]),
    ),
    ...table(
      'Flows',
      ['from', 'to', 'by', 'label', 'frames', 'bytes', 'encrypted', 'messages'],
      flows.map((row) => [
        ...[row.source, row.destination, `${row.protocol} ${row.transport}`, label(row.label), String(row.frames)],
        ...[String(row.bytes), row.encrypted, kindsText(row.kinds)],
      ]),
    ),
    ...table(
      'Members',
      ['name', 'address', 'port', 'state', 'incarnation', 'versions', 'zone', 'label', 'alive with', 'last seen'],
      members.map((row) => [
        ...[row.name, row.address, String(row.port), row.state, String(row.incarnation), row.versions ?? '-'],
        ...[row.zone ?? '-', label(row.label), row.labels.map(label).join(', '), time(row.lastAt)],
      ]),
    ),
    ...table(
      'Keys',
      ['key', 'codec', 'label', 'bytes', 'last seen'],
      keys.map((row) => [row.key, row.codec, label(row.label), String(row.bytes), time(row.lastAt)]),
    ),
    ...table(
      'Ring instances',
      ['key', 'id', 'address', 'zone', 'state', 'label', 'heartbeat'],
      instances.map((row) => [
        ...[row.key, row.id, row.address, row.zone, row.state, label(row.label), time(row.heartbeatAt)],
      ]),
    ),
    ...table(
      'Malformed, harmful or unreadable frames',
      ['reason', 'from', 'to', 'count', 'first frame', 'what it means'],
      problems.map((row) => [
        ...[row.reason, row.source, row.destination, String(row.count), String(row.first.frame), row.sentence],
      ]),
    ),
    '',
    findings.length === 0 ? 'Findings: none' : `Findings (${findings.length})`,
    ...findings.slice(0, ROWS_MAX).flatMap((finding) => findingLines(finding).map((line) => `  ${line}`)),
    ...(findings.length > ROWS_MAX ? [`  and ${findings.length - ROWS_MAX} more: --json lists them all`] : []),
  ];
  return lines.join('\n');
}
