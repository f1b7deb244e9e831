/** Reads one message of a stream, plain or compressed, within a bound of bytes and time. */
import type { Socket } from 'node:net';
import type { Parsed } from '../wire/codec-reason.ts';
import { openStream } from '../wire/push-pull.ts';
import { STREAM_MAX_BYTES } from './settings.ts';

/** Why an exchange failed, for one line. */
export class ExchangeError extends Error {
  override readonly name = 'ExchangeError';
}

/** Resolves with what `parse` makes of the message; rejects with an ExchangeError, and leaves closing to the caller. */
export function readMessage<T>(
  socket: Socket,
  timeoutMs: number,
  parse: (message: Uint8Array) => Parsed<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let [size, wanted] = [0, 1];
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', onEnd).off('error', onError).off('close', onEnd);
      settle();
    };
    const fail = (message: string) => finish(() => reject(new ExchangeError(message)));
    const onEnd = () => fail(size === 0 ? 'EOF before an answer' : 'EOF inside the answer');
    const onError = (error: Error) => fail(error.message);
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > STREAM_MAX_BYTES) return fail(`more than ${STREAM_MAX_BYTES} bytes`);
      // Joining and parsing only once enough is there keeps many small chunks cheap.
      if (size < wanted) return;
      const bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks, size);
      chunks.splice(0, chunks.length, bytes);
      const opened = openStream(bytes, STREAM_MAX_BYTES);
      const result = opened.ok ? parse(opened.value.message) : opened;
      if (result.ok) return finish(() => resolve(result.value));
      // Cut short inside a compressed message is final: all of it is here.
      if (result.reason !== 'truncated' || (opened.ok && opened.value.compressed)) {
        return fail(`not readable: ${result.reason} at byte ${result.at}`);
      }
      wanted = result.at;
    };
    const timer = setTimeout(() => fail(`no complete message within ${timeoutMs} ms`), timeoutMs);
    socket.on('data', onData).on('end', onEnd).on('error', onError).on('close', onEnd);
  });
}
