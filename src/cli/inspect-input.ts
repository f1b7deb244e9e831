/** Where a capture comes from: a file, a FIFO or standard input, as chunks, until it ends or the caller has had enough. */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError, EXIT, oneLine } from './exit.ts';

const CHUNK_BYTES = 1024 * 1024;
/** Between two looks at a file that grows. */
const GROWTH_POLL_MS = 250;

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

export interface InputOptions {
  /** `-` for standard input. */
  readonly file: string;
  /** Whether to wait for more at the end of a regular file. */
  readonly follow: boolean;
  /** Ends the reading: the chunks end as at the end of the file. */
  readonly signal: AbortSignal;
}

/** The chunks; each is the reader's to keep. Throws a CliError when it cannot be opened or read. */
export async function* readInput(options: InputOptions): AsyncGenerator<Uint8Array> {
  const { file, signal } = options;
  try {
    if (file === '-') yield* untilAborted(process.stdin, signal);
    else yield* readPath(options);
  } catch (error) {
    if (signal.aborted) return;
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new CliError(EXIT.failure, [oneLine(`ringfence: ${file}: ${WHY[code] ?? message}`)], { cause: error });
  }
}

async function* readPath({ file, follow, signal }: InputOptions): AsyncGenerator<Uint8Array> {
  const isFifo = (await stat(file)).isFIFO();
  // Opening a FIFO waits for its writer, and the process could not end before: so the signal makes it one.
  const partner = () => void open(file, constants.O_WRONLY | constants.O_NONBLOCK).then(closeQuietly, () => {});
  if (signal.aborted) return;
  if (isFifo) signal.addEventListener('abort', partner);
  const handle = await open(file);
  signal.removeEventListener('abort', partner);
  if (isFifo) {
    yield* untilAborted(new Socket({ fd: handle.fd, readable: true, writable: false }), signal);
    return;
  }
  try {
    yield* readFile(handle, follow, signal);
  } finally {
    await handle.close();
  }
}

async function* readFile(handle: FileHandle, follow: boolean, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  while (!signal.aborted) {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafeSlow(CHUNK_BYTES), 0, CHUNK_BYTES);
    if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
    else if (follow) await orAborted(sleep(GROWTH_POLL_MS, undefined, { signal }), signal);
    else return;
  }
}

function closeQuietly(handle: FileHandle): void {
  handle.close().catch(() => {});
}

/** A stream's chunks; it is destroyed when the signal comes. */
async function* untilAborted(stream: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = () => stream.destroy();
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) return;
    for await (const chunk of stream) yield chunk as Uint8Array;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** What `promise` gives; undefined when the signal comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  return Promise.race([promise, aborted]);
}
