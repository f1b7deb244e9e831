/** `ringfence stage NAME`: moves a running fence to another step of adoption. */
import { STAGES } from '../policy/stage.ts';
import { AdminRefusal, callAdmin } from './admin-client.ts';
import { againstLines, fieldsOf } from './adoption-answer.ts';
import { CliError, EXIT, oneLine } from './exit.ts';

export interface StageFlags {
  readonly admin: string;
  readonly force?: boolean;
  readonly fence?: string;
  readonly token?: string;
}

/** Rejects with a CliError that holds the fence's own reason when it refuses, and by name whom the step would cut and what is unknown. */
export async function setStage(stage: string, flags: StageFlags): Promise<number> {
  if (!STAGES.some((name) => name === stage)) {
    throw new CliError(EXIT.usage, [oneLine(`ringfence: no stage named ${stage}; there are: ${STAGES.join(', ')}`)]);
  }
  const body = { stage, force: flags.force ?? false, ...(flags.fence === undefined ? {} : { fence: flags.fence }) };
  const answer = await ask({ admin: flags.admin, path: '/api/v1/stage', token: flags.token, body });
  const { fence, from, stage: now, cuts, unknown, againstTotal } = fieldsOf(answer);
  const [name, before, to] = [fence, from, now].map((part) => oneLine(String(part)));
  const lines = [
    before === to ? `${name}: already at ${to}` : `${name}: ${before} -> ${to}`,
    ...named('cuts', cuts, unknown, againstTotal),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return EXIT.ok;
}

async function ask(call: Parameters<typeof callAdmin>[0]): Promise<unknown> {
  try {
    return await callAdmin(call);
  } catch (error) {
    if (!(error instanceof AdminRefusal)) throw error;
    const { against, unknown, againstTotal } = fieldsOf(error.answer);
    const lines = [...error.lines, ...named('would cut', against, unknown, againstTotal)];
    throw new CliError(error.exitCode, lines, { cause: error });
  }
}

/** Everybody whom the answer names, and how many it leaves out. */
function named(what: string, cuts: unknown, unknown: unknown, total: unknown): string[] {
  const lines = [...rows(what, cuts), ...rows('unknown', unknown)];
  const more = typeof total === 'number' ? total - lines.length : 0;
  return more > 0 ? [...lines, `  and ${more} more`] : lines;
}

function rows(what: string, value: unknown): string[] {
  return againstLines(value).map(({ text }) => `  ${what}: ${text}`);
}
