/**
 * The stages of a process's fences in a small file, so that a restart goes on where it was. Whatever is wrong with the file is said
 * and stops nothing: a fence without it starts as if it were empty.
 */
import { open, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { STAGES, type Stage } from '../policy/stage.ts';
import type { Clock } from './clock.ts';
import { readSmallFile } from './read-file.ts';

/** A file of 64 fences with the longest names and labels is a quarter of it. */
export const STATE_FILE_MAX_BYTES = 64 * 1024;

/** Fences that are kept, those of this process first: a fence that was taken out of the configuration may come back. */
const FENCES_KEPT_MAX = 80;

/** Before a write that failed is tried again, ms. */
export const RETRY_MS = 30_000;

const VERSION = 1;

export interface StateFileOptions {
  readonly file: string;
  readonly clock: Clock;
  /** The wall clock, ms since the epoch, for people. */
  wallNow(): number;
  /** What is wrong, one line; or, undefined, that the file was written again. */
  onProblem(why: string | undefined): void;
}

export interface StateFile {
  /** The stage that the file held for this fence when it was opened; undefined when there is none for this label. */
  stageOf(fence: string, label: Uint8Array): Stage | undefined;
  /** Keeps a stage from now on. Never rejects; resolves when it was written or could not be. */
  save(fence: string, label: Uint8Array, stage: Stage): Promise<void>;
  /** What is wrong with the file now; undefined when nothing is. */
  problem(): string | undefined;
  /** Ends retries; resolves once nothing is being written. */
  stop(): Promise<void>;
}

interface Entry {
  readonly stage: Stage;
  readonly label: string;
  readonly at: string;
}

type Entries = Map<string, Entry>;

/** Reads the file once. Never rejects. */
export async function openStateFile(options: StateFileOptions): Promise<StateFile> {
  const { file, clock } = options;
  let problem: string | undefined;
  const tell = (why: string | undefined) => {
    if (why === problem) return;
    problem = why;
    options.onProblem(why);
  };
  const loaded = await load(file);
  if (typeof loaded === 'string') tell(`${file}: ${loaded}: no stage is taken from it`);
  const kept: Entries = typeof loaded === 'string' ? new Map() : loaded;
  const atStart: ReadonlyMap<string, Entry> = new Map(kept);
  let writing: Promise<void> | undefined;
  let dirty = false;
  let stopped = false;
  let cancelRetry: (() => void) | undefined;

  const writeAll = async () => {
    while (dirty) {
      dirty = false;
      try {
        await replace(file, formatEntries(kept));
        tell(undefined);
      } catch (error) {
        tell(`${file}: ${whyNotWritten(error)}: the stage is not kept over a restart`);
        retryLater();
      }
    }
  };
  const write = (): Promise<void> => {
    dirty = true;
    writing ??= writeAll().finally(() => {
      writing = undefined;
    });
    return writing;
  };
  const retryLater = () => {
    cancelRetry?.();
    if (stopped) return;
    cancelRetry = clock.after(RETRY_MS, () => void write());
  };

  return {
    stageOf(fence, label) {
      const entry = atStart.get(fence);
      return entry !== undefined && entry.label === hex(label) ? entry.stage : undefined;
    },
    save(fence, label, stage) {
      const before = kept.get(fence);
      const same = before?.stage === stage && before.label === hex(label);
      if (same && problem === undefined) return Promise.resolve();
      // The newest is last, so the oldest goes first.
      kept.delete(fence);
      kept.set(fence, { stage, label: hex(label), at: new Date(options.wallNow()).toISOString() });
      for (const name of kept.keys()) if (kept.size > FENCES_KEPT_MAX) kept.delete(name);
      return write();
    },
    problem: () => problem,
    async stop() {
      stopped = true;
      cancelRetry?.();
      await writing;
    },
  };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What the file holds; empty when there is none; in one line what is wrong with it otherwise. */
async function load(file: string): Promise<Entries | string> {
  let bytes: Uint8Array;
  try {
    bytes = await readSmallFile(file, STATE_FILE_MAX_BYTES);
  } catch (error) {
    const { cause, message } = error as Error;
    return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT' ? new Map() : message;
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return 'it is not JSON';
  }
  return readEntries(value);
}

function readEntries(value: unknown): Entries | string {
  if (!isRecord(value)) return 'it holds no object';
  if (value['version'] !== VERSION) return `its version is not ${VERSION}`;
  const { fences } = value;
  if (!isRecord(fences)) return 'its fences are no object';
  const names = Object.keys(fences);
  if (names.length > FENCES_KEPT_MAX) return `it holds more than ${FENCES_KEPT_MAX} fences`;
  const entries: Entries = new Map();
  for (const [i, name] of names.entries()) {
    const entry = readEntry(fences[name]);
    // The name is anybody's text: its place says enough.
    if (entry === undefined) return `its fence ${i + 1} is no {stage, label, at}`;
    entries.set(name, entry);
  }
  return entries;
}

function readEntry(value: unknown): Entry | undefined {
  if (!isRecord(value)) return undefined;
  const { stage, label, at } = value;
  const known = STAGES.find((name) => name === stage);
  if (known === undefined || typeof label !== 'string' || typeof at !== 'string') return undefined;
  return /^(?:[0-9a-f]{2}){1,255}$/.test(label) && at.length <= 40 ? { stage: known, label, at } : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function formatEntries(entries: Entries): string {
  return `${JSON.stringify({ version: VERSION, fences: Object.fromEntries(entries) }, null, 1)}\n`;
}

/** Puts `text` in the file's place whole: a crash leaves the old one or the new one, never a half. */
async function replace(file: string, text: string): Promise<void> {
  const directory = dirname(file);
  const next = join(directory, `.${basename(file)}.new`);
  const handle = await open(next, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
  // So that the name survives a power cut as well; a file system that cannot do it keeps the file all the same.
  const dir = await open(directory, 'r');
  await dir.sync().catch(() => undefined);
  await dir.close();
}

const WHY: Readonly<Record<string, string>> = {
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOENT: 'its directory does not exist',
  ENOTDIR: 'its directory is none',
  EISDIR: 'it is a directory',
  EBUSY: 'it is mounted by itself and cannot be replaced: mount its directory',
  ENOSPC: 'the disk is full',
};

function whyNotWritten(error: unknown): string {
  const { code = 'unknown' } = error as NodeJS.ErrnoException;
  return `it cannot be written: ${WHY[code] ?? code}`;
}
