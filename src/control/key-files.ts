/**
 * The gossip keys of a fence, from files that are read again while it runs: a rotation needs no restart. Keys are in nothing
 * that this room says or throws.
 */
import { KEYRING_KEYS_MAX } from '../wire/limits.ts';
import { parseKeyFile } from './key-text.ts';
import { openWatchedFiles, type WatchedFiles } from './watched-files.ts';

/** Reads one file whole; rejects with an Error whose message says why without any of the content. */
export type ReadKeyFile = (file: string) => Promise<Uint8Array>;

export interface KeyFilesOptions {
  /** Paths; the first key of the first file is the primary one. */
  readonly files: readonly string[];
  readonly read: ReadKeyFile;
  /** Called after a change was taken up. */
  onKeys(keys: readonly Uint8Array[]): void;
  /** A file broke, and the last good keys stay in use; or, without `why`, all of them can be read again. */
  onProblem(why: string | undefined): void;
}

export interface KeyFiles extends Omit<WatchedFiles<readonly Uint8Array[]>, 'value'> {
  /** The keys in use, in order, none twice; at least one. Never log or show one. */
  keys(): readonly Uint8Array[];
}

/** A file cannot be used; the message names it and says why, in one line without any of its content. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
}

/** Reads the files once. Rejects with a KeyFileError when one cannot be used: a fence without its keys must not start. */
export async function openKeyFiles(options: KeyFilesOptions): Promise<KeyFiles> {
  const watched = await openWatchedFiles<readonly Uint8Array[]>({
    load: () => readAll(options),
    same: (a, b) => a.length === b.length && a.every((key, i) => Buffer.compare(key, b[i] as Uint8Array) === 0),
    onChange: options.onKeys,
    fault: () => undefined,
    broken: (why) => why,
    onProblem: options.onProblem,
  });
  if (typeof watched === 'string') throw new KeyFileError(watched);
  const { value, ...rest } = watched;
  return { keys: value, ...rest };
}

/** The keys of all files in order, or what is wrong with the first that cannot be used. */
async function readAll({ files, read }: KeyFilesOptions): Promise<readonly Uint8Array[] | string> {
  const keys: Uint8Array[] = [];
  for (const file of files) {
    let content: Uint8Array;
    try {
      content = await read(file);
    } catch (error) {
      return `${file}: ${(error as Error).message}`;
    }
    const parsed = parseKeyFile(content);
    if (!parsed.ok) return `${file}: ${parsed.why}`;
    for (const key of parsed.keys) if (!keys.some((other) => Buffer.compare(key, other) === 0)) keys.push(key);
  }
  return keys.length > KEYRING_KEYS_MAX ? `the key files hold more than ${KEYRING_KEYS_MAX} keys together` : keys;
}
