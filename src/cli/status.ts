/** `ringfence status`: what a running process says of its fences. */
import type { FenceStatus, Status } from '../admin/status.ts';
import { callAdmin } from './admin-client.ts';
import { adoptionPath } from './adoption-answer.ts';
import { CliError, EXIT, oneLine } from './exit.ts';
import { adoptionLines, nextSteps } from './status-adoption.ts';

export interface StatusFlags {
  readonly admin: string;
  readonly json?: boolean;
  readonly fleet?: boolean;
  readonly fence?: string;
  readonly token?: string;
}

/** Rejects with a CliError when there is no answer, or no fence of that name. */
export async function printStatus(flags: StatusFlags): Promise<number> {
  const answer = await callAdmin({ admin: flags.admin, path: '/api/v1/status', token: flags.token });
  if (!isStatus(answer)) throw new CliError(EXIT.failure, ['ringfence: the answer is not the status of a fence']);
  const fences = answer.fences.filter(({ name }) => flags.fence === undefined || name === flags.fence);
  if (fences.length === 0) {
    const names = answer.fences.map(({ name }) => name).join(', ');
    throw new CliError(EXIT.failure, [oneLine(`ringfence: no fence named ${flags.fence}; there are: ${names}`)]);
  }
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ ...answer, fences }, null, 2)}\n`);
    return EXIT.ok;
  }
  const more = callAdmin({ admin: flags.admin, path: adoptionPath(flags.fence), token: flags.token });
  const steps = nextSteps(await more.catch(() => undefined));
  const text = fences.map((fence) => formatFence(fence, steps.get(fence.name))).join('\n\n');
  process.stdout.write(`${text}\n`);
  return EXIT.ok;
}

/** As much of the shape as formatFence relies on: another version, or another program, may have answered. */
function isStatus(value: unknown): value is Status {
  if (value === null || typeof value !== 'object' || !Array.isArray((value as Status).fences)) return false;
  return (value as Status).fences.every((fence: FenceStatus | null) => {
    if (fence === null || typeof fence !== 'object' || typeof fence.name !== 'string') return false;
    const { app, frames, rejected, wouldReject, wouldStrand, dropped, streams, notReady, foreignLabels, notes } = fence;
    const { inspectionSkipped, quarantine, encryption } = fence;
    const counted = [frames, rejected, wouldReject, wouldStrand, dropped, inspectionSkipped];
    const objects: readonly object[] = [...counted, app, streams, quarantine, encryption];

    return (
      objects.every((part) => part !== null && typeof part === 'object') &&
      [notReady, foreignLabels, notes].every((part) => Array.isArray(part))
    );
  });
}

function counts(record: object): string {
  const pairs = Object.entries(record).map(([key, count]) => `${key} ${String(count)}`);
  return pairs.join(', ') || 'none';
}

function formatFence(fence: FenceStatus, next: unknown): string {
  const { app, frames, rejected, wouldReject, wouldStrand, dropped, streams, foreignLabels } = fence;
  const ceiling = fence.ceiling === null ? '' : ` (at most ${fence.ceiling})`;
  const states = Object.entries(frames)
    .map(([state, total]) => `${state} ${total?.pass}/${total?.reject}`)
    .join(', ');
  const lines = [
    `${fence.name}: ${fence.stage}${ceiling}, ${fence.ready ? 'ready' : 'NOT READY'}`,
    `  cluster        ${fence.cluster}`,
    `  path           ${fence.mode} (${fence.engine}: ${fence.engineReason})`,
    `  app            ${app.up === null ? 'not tried yet' : app.up ? 'up' : 'DOWN'}; sends ${app.sends}, takes ${app.takes}; wire ${fence.wire}`,
    `  admission      ${fence.admissionRules ? 'by rules' : 'NO RULES: everyone'}`,
    ...adoptionLines(fence.adoption, next),
    ...fence.notReady.map((reason) => `  not ready      ${reason}`),
    `  frames         ${states} (passed/rejected)`,
    `  rejected       ${counts(rejected)}`,
    `  would reject   ${counts(wouldReject)} (at a later stage)`,
    `  would strand   ${counts(wouldStrand)} (at a later stage)`,
    `  fall-backs     ${fence.fallbacks}`,
    `  dropped        ${counts(dropped)}`,
    `  open           ${fence.sessions} sessions, streams ${streams.inbound} in, ${streams.outbound} out`,
    `  foreign peers  ${fence.foreignPeers}`,
    ...foreignLabels.map((row) => `  foreign label  ${row?.label} (${row?.count} frames)`),
    ...ringLines(fence),
    ...fence.notes.map((note) => `  note           ${note}`),
  ];
  return lines.map((line) => line.replace(/[^\x20-\x7e]/g, '?')).join('\n');
}

/** The ring, what would be wrong with it, and what is done about it. */
function ringLines({ ring, inspectionSkipped, quarantine, encryption }: FenceStatus): string[] {
  const lines: string[] = [];
  if (ring !== null) {
    lines.push(
      `  members        ${counts(ring.members)}; foreign sightings ${ring.foreignSightings}, KV keys ${ring.kvKeys}, ring instances ${ring.instances}`,
      `  merge alarms   ${ring.mergeAlarms.total}`,
      ...ring.mergeAlarms.shown.map(({ since, text }) => `                 ${since} ${text}`),
      `  merge warnings ${ring.mergeWarnings.total}`,
      ...ring.mergeWarnings.shown.map(({ since, text }) => `                 ${since} ${text}`),
    );
  }
  if (Object.keys(inspectionSkipped).length > 0) lines.push(`  not looked at  ${counts(inspectionSkipped)}`);
  const { on, foreigners, stripped, dropped } = quarantine;
  if (on) lines.push(`  quarantine     on: ${foreigners} foreigners, ${stripped} entries stripped, ${dropped} dropped`);
  const { keys, reseal, problem } = encryption;
  if (keys > 0)
    lines.push(
      `  encryption     ${keys} keys, reseal ${reseal ? 'on' : 'off'}${problem === null ? '' : `; ${problem}`}`,
    );
  return lines;
}
