/**
 * The gossip keys of a fence, from files that are read again while it runs: a rotation needs no restart. Whole contents are compared
 * and no times or inodes, because a mounted Secret changes by a symlink and an editor by a new file. Keys are in nothing that this
 * room says or throws.
 */
import { KEYRING_KEYS_MAX } from '../wire/limits.ts';
import { parseKeyFile } from './key-text.ts';

/** Between two looks at the files, ms. A change is taken up once two looks agree, so within twice that. */
export const KEY_FILES_INTERVAL_MS = 2_000;

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

export interface KeyFiles {
  /** The keys in use, in order, none twice; at least one. Never log or show one. */
  keys(): readonly Uint8Array[];
  /** Why the files cannot be used as they are now; undefined when they can. */
  problem(): string | undefined;
  /** Looks once. Calls that overlap share one look. Never rejects. */
  check(): Promise<void>;
  /** Looks every KEY_FILES_INTERVAL_MS from now on. */
  start(): void;
  stop(): void;
}

/** A file cannot be used; the message names it and says why, in one line without any of its content. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
}

/** Reads the files once. Rejects with a KeyFileError when one cannot be used: a fence without its keys must not start. */
export async function openKeyFiles(options: KeyFilesOptions): Promise<KeyFiles> {
  const first = await readAll(options);
  if (typeof first === 'string') throw new KeyFileError(first);
  let keys: readonly Uint8Array[] = first;
  let problem: string | undefined;
  /** What the last look saw and is not in use yet. */
  let seen: readonly Uint8Array[] | string | undefined;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const settle = (why: string | undefined) => {
    if (why === problem) return;
    problem = why;
    options.onProblem(why);
  };
  const take = (found: readonly Uint8Array[] | string) => {
    // One look may fall into the middle of somebody's writing.
    const twice = seen !== undefined && same(found, seen);
    seen = found;
    if (typeof found === 'string') {
      if (twice) settle(found);
    } else if (same(found, keys)) settle(undefined);
    else if (twice) {
      keys = found;
      settle(undefined);
      options.onKeys(keys);
    }
  };
  const check = (): Promise<void> => {
    looking ??= readAll(options)
      .then(take)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  return {
    keys: () => keys,
    problem: () => problem,
    check,
    start() {
      timer ??= setInterval(() => void check(), KEY_FILES_INTERVAL_MS);
      timer.unref();
    },
    stop: () => clearInterval(timer),
  };
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

function same(a: readonly Uint8Array[] | string, b: readonly Uint8Array[] | string): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  return a.length === b.length && a.every((key, i) => Buffer.compare(key, b[i] as Uint8Array) === 0);
}
