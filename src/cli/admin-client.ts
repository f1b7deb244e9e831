/** Asks a running fence through its admin API, with bounds on time and size; every failure is one line. */
import { CliError, EXIT, oneLine } from './exit.ts';

export const DEFAULT_ADMIN = 'http://127.0.0.1:9746';

/** The API answers from memory. */
const TIMEOUT_MS = 5_000;

/** The status of 64 fences is far below it. */
const ANSWER_MAX_BYTES = 4 * 1024 * 1024;

export interface AdminCall {
  readonly admin: string;
  readonly path: string;
  readonly token?: string | undefined;
  /** Sent as JSON with POST; without one it is a GET. */
  readonly body?: unknown;
}

/** The API answered with something else than 200. */
export class AdminRefusal extends CliError {
  override readonly name = 'AdminRefusal';
  readonly status: number;
  /** The parsed body, whoever wrote it. */
  readonly answer: unknown;
  constructor(status: number, answer: unknown, line: string) {
    super(EXIT.failure, [line]);
    this.status = status;
    this.answer = answer;
  }
}

/** The parsed answer of a 200. Rejects with an AdminRefusal for any other, or with a CliError, that holds the API's own reason, or what went wrong on the way. */
export async function callAdmin(call: AdminCall): Promise<unknown> {
  const url = targetOf(call);
  const headers = new Headers({ accept: 'application/json' });
  if (call.token !== undefined && call.token !== '') headers.set('authorization', `Bearer ${call.token}`);
  if (call.body !== undefined) headers.set('content-type', 'application/json');
  const init: RequestInit = { headers, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (call.body !== undefined) Object.assign(init, { method: 'POST', body: JSON.stringify(call.body) });
  try {
    const response = await fetch(url, init);
    const answer = parse(await readBounded(response));
    if (response.status === 200) return answer;
    const reason = (answer as { error?: unknown } | null)?.error;
    const why = typeof reason === 'string' ? reason : `answered ${response.status}`;
    throw new AdminRefusal(response.status, answer, lineOf(url, why));
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw fail(url, reasonOf(error), error);
  }
}

function targetOf({ admin, path }: AdminCall): URL {
  const base = URL.canParse(admin) ? new URL(admin) : undefined;
  if (base === undefined || !/^https?:$/.test(base.protocol)) {
    throw new CliError(EXIT.usage, [`ringfence: --admin must be an http URL such as ${DEFAULT_ADMIN}`]);
  }
  return new URL(path, base);
}

function fail(url: URL, why: string, cause?: unknown): CliError {
  return new CliError(EXIT.failure, [lineOf(url, why)], { cause });
}

function lineOf(url: URL, why: string): string {
  return `ringfence: ${url.origin}${url.pathname}: ${oneLine(why)}`;
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > ANSWER_MAX_BYTES) throw new Error(`the answer is longer than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON: is this the admin API of a fence?');
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS} ms`;
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = (cause as NodeJS.ErrnoException).code;
  return code === 'ECONNREFUSED' ? 'connection refused: is the fence running?' : cause.message || String(code);
}
