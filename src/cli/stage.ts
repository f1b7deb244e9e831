/** `ringfence stage NAME`: moves a running fence to another step of adoption. */
import { STAGES } from '../policy/stage.ts';
import { callAdmin } from './admin-client.ts';
import { CliError, EXIT, oneLine } from './exit.ts';

export interface StageFlags {
  readonly admin: string;
  readonly force?: boolean;
  readonly fence?: string;
  readonly token?: string;
}

/** Rejects with a CliError that holds the fence's own reason when it refuses. */
export async function setStage(stage: string, flags: StageFlags): Promise<number> {
  if (!STAGES.some((name) => name === stage)) {
    throw new CliError(EXIT.usage, [oneLine(`ringfence: no stage named ${stage}; there are: ${STAGES.join(', ')}`)]);
  }
  const body = { stage, force: flags.force ?? false, ...(flags.fence === undefined ? {} : { fence: flags.fence }) };
  const answer = (await callAdmin({ admin: flags.admin, path: '/api/v1/stage', token: flags.token, body })) as {
    readonly fence?: unknown;
    readonly from?: unknown;
    readonly stage?: unknown;
  } | null;
  const [fence, from, to] = [answer?.fence, answer?.from, answer?.stage].map((part) => oneLine(String(part)));
  process.stdout.write(from === to ? `${fence}: already at ${to}\n` : `${fence}: ${from} -> ${to}\n`);
  return EXIT.ok;
}
