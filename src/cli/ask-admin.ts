/**
 * Asks the admin API at a peer's address how far its fence's adoption is. Whoever holds the address answers, so everything is bounded:
 * time in all, bytes, headers; redirects are not followed, nothing secret is sent, and every lie ends in a word of a closed list.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { ADMIN_ANSWER_MAX_BYTES, ADOPTION_PATH, type AdminAnswer, readAdminAnswer } from '../control/fleet-answer.ts';
import type { FenceProblem } from '../ring/evidence.ts';

/** From dialling to the answer's last byte. */
export const ASK_TIMEOUT_MS = 2_000;

const HEADERS_MAX_BYTES = 8 * 1024;

export interface AskOptions {
  /** The peers' admin port: our own. */
  readonly port: number;
  /** ASK_TIMEOUT_MS; for tests a shorter one. */
  readonly timeoutMs?: number;
}

/** A function that asks one address (text, without a zone); its promise never rejects. */
export function createAdminAsker({
  port,
  timeoutMs = ASK_TIMEOUT_MS,
}: AskOptions): (address: string) => Promise<AdminAnswer> {
  return (address) =>
    new Promise((resolve) => {
      let asked: ClientRequest | undefined;
      const settle = (answer: AdminAnswer) => {
        clearTimeout(timer);
        resolve(answer);
        asked?.destroy();
      };
      const unknown = (problem: FenceProblem) => settle({ outcome: 'unknown', problem });
      const timer = setTimeout(unknown, timeoutMs, 'timeout');
      try {
        asked = request({
          host: address,
          port,
          path: ADOPTION_PATH,
          headers: { accept: 'application/json', connection: 'close' },
          agent: false,
          maxHeaderSize: HEADERS_MAX_BYTES,
          // An address is never looked up: what is no address is refused here, and not by somebody's DNS.
          lookup: (_name, _options, done) => done(Object.assign(new Error('not an address'), { code: 'EINVAL' }), ''),
        });
      } catch {
        unknown('unreachable');
        return;
      }
      asked.on('error', (error) => settle(answerOfError(error)));
      asked.on('response', (response) => readResponse(response, settle, unknown));
      // A switch of protocols would hand us the bare connection.
      asked.on('upgrade', () => unknown('http_error'));
      asked.end();
    });
}

function readResponse(
  response: IncomingMessage,
  settle: (answer: AdminAnswer) => void,
  unknown: (problem: FenceProblem) => void,
): void {
  const status = response.statusCode ?? 0;
  if (status !== 200) {
    unknown(status >= 300 && status < 400 ? 'redirected' : 'http_error');
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > ADMIN_ANSWER_MAX_BYTES) unknown('too_large');
    else chunks.push(chunk);
  });
  response.on('end', () => settle(readAdminAnswer(Buffer.concat(chunks).toString('utf8'))));
  // Cut off before its end.
  response.on('error', () => unknown('http_error'));
}

function answerOfError(error: NodeJS.ErrnoException): AdminAnswer {
  const { code = '' } = error;
  if (code === 'ECONNREFUSED') return { outcome: 'none' };
  return { outcome: 'unknown', problem: problemOf(code) };
}

function problemOf(code: string): FenceProblem {
  if (code === 'ETIMEDOUT') return 'timeout';
  if (code === 'HPE_HEADER_OVERFLOW') return 'too_large';
  // It was reached and spoke something else, or hung up.
  return code === 'ECONNRESET' || code === 'EPIPE' || code.startsWith('HPE_') ? 'http_error' : 'unreachable';
}
