/** Reads small files that others rewrite: bounded in size and time, and never a pipe or a device, which may never end. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** A network file system that hangs must not hold up the watching for good. */
const READ_TIMEOUT_MS = 5_000;

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENXIO: 'it is no regular file',
};

/** Reads `file` whole. Rejects with an Error that says why in a few words, the content never among them. */
export async function readSmallFile(file: string, maxBytes: number): Promise<Uint8Array> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not read within ${READ_TIMEOUT_MS} ms`)), READ_TIMEOUT_MS);
  });
  try {
    return await Promise.race([read(file, maxBytes), late]);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === undefined ? message : (WHY[code] ?? `cannot be read (${code})`), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function read(file: string, maxBytes: number): Promise<Uint8Array> {
  // Opening a pipe for reading would wait for a writer.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) throw new Error('it is a directory');
    if (!stat.isFile()) throw new Error('it is no regular file');
    const bytes = new Uint8Array(maxBytes + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
    return bytes.slice(0, length);
  } finally {
    await handle.close();
  }
}
