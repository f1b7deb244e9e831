/** `ringfence status --fleet`: every member that a fence knows, what it showed, and how far its own fence is. */

import { callAdmin } from './admin-client.ts';
import { adoptionFences, adoptionPath, fieldsOf, listOf, stepLines, textOf } from './adoption-answer.ts';
import { CliError, EXIT, oneLine } from './exit.ts';
import type { StatusFlags } from './status.ts';

/** Characters of one column: names of pods and IPv6 addresses with a port are shorter. */
const COLUMN_MAX_CHARS = 60;

const HEAD = ['NAME', 'ADDRESS', 'STATE', 'SENT LABEL', 'SENT WITHOUT', 'PING UDP', 'PING TCP', 'FENCE'] as const;

/** Rejects with a CliError when there is no answer, no fence of that name, or a version that does not tell. */
export async function printFleet(flags: StatusFlags): Promise<number> {
  const path = adoptionPath(flags.fence);
  const answer = await callAdmin({ admin: flags.admin, path, token: flags.token });
  const fences = adoptionFences(answer, flags.fence);
  if (fences === undefined) throw new CliError(EXIT.failure, ['ringfence: the answer is not the adoption of a fence']);
  if (fences.length === 0) throw new CliError(EXIT.failure, [oneLine(`ringfence: no fence named ${flags.fence}`)]);
  const text =
    flags.json === true
      ? JSON.stringify({ ...fieldsOf(answer), fences }, null, 2)
      : fences.map(formatFleet).join('\n\n');
  process.stdout.write(`${text}\n`);
  return EXIT.ok;
}

/** Of one fence: where it is, who stands against the next step, and the table. */
export function formatFleet(fence: Readonly<Record<string, unknown>>): string {
  const atMs = Date.parse(textOf(fence['at']) ?? '');
  const members = listOf(fence['members']).map(fieldsOf);
  const total = fence['membersTotal'];
  const more = typeof total === 'number' ? total - members.length : 0;
  const step = listOf(fence['steps']).find((one) => fieldsOf(one)['to'] === fence['next']);
  const { readiness } = fieldsOf(step);
  const next = step === undefined ? 'no stage above' : `${textOf(fence['next'])} is ${textOf(readiness) ?? 'unknown'}`;
  return [
    `${textOf(fence['name'])}: ${textOf(fence['stage'])}; ${next}`,
    ...stepLines(step).map((line) => `  ${line}`),
    ...table([HEAD, ...members.map((member) => rowOf(member, atMs))]),
    ...(more > 0 ? [`and ${more} more members`] : []),
  ].join('\n');
}

function rowOf(member: Readonly<Record<string, unknown>>, atMs: number): readonly string[] {
  const { name, address, port, state, inDns, lastOwn, unlabelled, probe, fence, foreignLabel } = member;
  const { packet, stream } = fieldsOf(probe);
  const foreign = textOf(foreignLabel);
  const shown = foreign === undefined ? (ago(lastOwn, atMs) ?? 'never') : `FOREIGN ${foreign}`;
  return [
    textOf(name) ?? '-',
    endpoint(textOf(address) ?? '-', textOf(port)),
    textOf(state) ?? (inDns === true ? 'in DNS only' : '-'),
    shown,
    ago(fieldsOf(unlabelled)['last'], atMs) ?? 'never',
    leg(probe, packet, atMs),
    leg(probe, stream, atMs),
    fenceText(fence),
  ];
}

function endpoint(address: string, port: string | undefined): string {
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** "12 s ago"; undefined for no time. */
function ago(value: unknown, atMs: number): string | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms) || Number.isNaN(atMs)) return undefined;
  return `${Math.max(0, Math.round((atMs - ms) / 1_000))} s ago`;
}

function leg(probe: unknown, value: unknown, atMs: number): string {
  if (probe === null || probe === undefined) return 'not asked';
  if (value === null || value === undefined) return '-';
  const { answered, asked, silentSince } = fieldsOf(value);
  const silent = ago(silentSince, atMs);
  if (silent !== undefined) return `SILENT since ${silent.replace(/ ago$/, '')}`;
  return ago(answered, atMs) === undefined ? (textOf(asked) === undefined ? 'not asked' : 'asked') : 'answers';
}

function fenceText(value: unknown): string {
  const { outcome, stage, problem } = fieldsOf(value);
  if (outcome === 'fence') return textOf(stage) ?? '?';
  if (outcome === 'none') return 'none answers';
  return outcome === undefined ? 'not asked' : `unknown: ${textOf(problem) ?? '?'}`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const cut = rows.map((row) =>
    row.map((cell) => (cell.length > COLUMN_MAX_CHARS ? `${cell.slice(0, COLUMN_MAX_CHARS - 3)}...` : cell)),
  );
  const widths = HEAD.map((_, column) => Math.max(...cut.map((row) => row[column]?.length ?? 0)));
  return cut.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}
