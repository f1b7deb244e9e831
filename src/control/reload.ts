/**
 * A configuration that changes while the fences run: taken whole or not at all. What is wrong with a new one is said, and the old one
 * stays; one that only a stage stands against for now is tried again until it can be taken, or another one comes.
 */
import type { Config } from '../config/types.ts';
import type { Clock } from './clock.ts';

/** Before a configuration that waits for a stage is tried again, ms. */
export const TRY_AGAIN_MS = 5_000;

/** What a configuration waits for is said at most so often while the file stays as it is, ms: its figures move by themselves. */
export const WAIT_SAID_MS = 60_000;

/** Settings that are named in a refusal; more are counted. */
const NAMED_MAX = 10;

/** What may change while a fence runs, as paths of the file; `*` stands for the name of a fence. */
export const RELOADABLE: readonly string[] = [
  'fences.*.stage',
  'fences.*.wire',
  'fences.*.app.sends',
  'fences.*.app.takes',
  'fences.*.admit',
  'fences.*.shield',
  'fences.*.quarantine',
  'fences.*.tls.unterminated',
  'log.level',
];

/** Paths at which two checked files differ and that cannot change while a fence runs; fences are held against each other by name. */
export function fixedChanges(before: Config['file'], after: Config['file']): readonly string[] {
  const found: string[] = [];
  compare(byName(before), byName(after), [], found);
  return found;
}

function byName({ fences, ...rest }: Config['file']): unknown {
  return { ...rest, fences: Object.fromEntries(fences.map((fence) => [fence.name, fence])) };
}

function compare(a: unknown, b: unknown, path: readonly string[], found: string[]): void {
  if (reloadable(path)) return;
  if (isRecord(a) && isRecord(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) compare(a[key], b[key], [...path, key], found);
    return;
  }
  if (JSON.stringify(a) !== JSON.stringify(b)) found.push(path.join('.'));
}

function reloadable(path: readonly string[]): boolean {
  const generic = path.map((part, i) => (i === 1 && path[0] === 'fences' ? '*' : part)).join('.');
  return RELOADABLE.includes(generic);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

export interface ReloadOptions {
  readonly clock: Clock;
  /** What is in force, and the text that it came from. */
  readonly running: Config;
  readonly text: string;
  /** Checks a text; throws an Error whose message has a line for each thing that is wrong. */
  parse(text: string): Config;
  /** Puts `next` in force in place of `before`, or says in one line what stands against that for now. Never rejects. */
  take(next: Config, before: Config): Promise<string | undefined>;
  /** What became of a text; called whenever that changes. */
  onResult(result: ReloadResult): void;
}

export type ReloadResult =
  | { readonly outcome: 'in_force' }
  /** The text is no configuration of these fences; the old one stays. */
  | { readonly outcome: 'rejected'; readonly why: readonly string[] }
  /** It will be taken as soon as a stage allows; the old one stays until then. */
  | { readonly outcome: 'waits'; readonly why: string };

/** How the configuration stands. */
export interface LastReload {
  /** Whether what the file last held is in force. */
  readonly successful: boolean;
  /** When that last was so, ms (the clock's). */
  readonly successMs: number;
  /** Why it is not, one line. */
  readonly problem: string | undefined;
}

export interface Reload {
  /** The file holds `text` now. Resolves when it is in force, rejected or waiting; texts are taken one after the other, the last one for good. */
  take(text: string): Promise<void>;
  /** Whether `text` is the one that was taken last, whatever became of it. */
  has(text: string): boolean;
  /** The file cannot be read; what is in force stays. */
  unreadable(why: string): void;
  last(): LastReload;
  stop(): void;
}

export function createReload(options: ReloadOptions): Reload {
  const { clock } = options;
  let running = options.running;
  /** Undefined while the file cannot be read. */
  let latest: string | undefined = options.text;
  let result: ReloadResult = { outcome: 'in_force' };
  let successMs = clock.now();
  let working: Promise<void> | undefined;
  let again = false;
  let stopped = false;
  let cancel = () => {};
  /** Part of a configuration that waits is taken: who is admitted. */
  let touched = false;
  let told: { readonly text: string | undefined; readonly atMs: number } | undefined;

  const settle = (found: ReloadResult) => {
    const nowMs = clock.now();
    if (found.outcome === 'in_force') successMs = nowMs;
    const same = JSON.stringify(found) === JSON.stringify(result);
    const stillWaits = found.outcome === 'waits' && result.outcome === 'waits' && told?.text === latest;
    result = found;
    if (same && found.outcome !== 'in_force') return;
    if (stillWaits && nowMs - (told?.atMs ?? 0) < WAIT_SAID_MS) return;
    told = { text: latest, atMs: nowMs };
    options.onResult(found);
  };
  /** All of the old one again, when the new one will not be taken any more. */
  const restore = async () => {
    if (!touched) return;
    touched = false;
    await options.take(running, running);
  };
  const tryOne = async (text: string): Promise<ReloadResult> => {
    let next: Config;
    try {
      next = options.parse(text);
    } catch (error) {
      return { outcome: 'rejected', why: (error as Error).message.split('\n') };
    }
    const fixed = fixedChanges(running.file, next.file);
    if (fixed.length > 0) return { outcome: 'rejected', why: [fixedText(fixed)] };
    const why = await options.take(next, running);
    touched = why !== undefined;
    if (why !== undefined) return { outcome: 'waits', why };
    running = next;
    return { outcome: 'in_force' };
  };
  const work = async () => {
    do {
      again = false;
      cancel();
      const found = latest === undefined ? undefined : await tryOne(latest);
      if (found?.outcome !== 'waits' && found?.outcome !== 'in_force') await restore();
      if (found !== undefined && latest !== undefined) settle(found);
    } while (again);
    if (result.outcome === 'waits' && latest !== undefined && !stopped)
      cancel = clock.after(TRY_AGAIN_MS, () => void begin());
  };
  const begin = (): Promise<void> => {
    again = true;
    working ??= work().finally(() => {
      working = undefined;
    });
    return working;
  };
  return {
    take(text) {
      latest = text;
      return stopped ? Promise.resolve() : begin();
    },
    has: (text) => text === latest,
    unreadable(why) {
      latest = undefined;
      cancel();
      settle({ outcome: 'rejected', why: [why] });
      if (touched && !stopped) void begin();
    },
    last: () => ({ successful: result.outcome === 'in_force', successMs, problem: problemOf(result) }),
    stop() {
      stopped = true;
      cancel();
    },
  };
}

function fixedText(paths: readonly string[]): string {
  const more = paths.length > NAMED_MAX ? ` and ${paths.length - NAMED_MAX} more` : '';
  return `only a restart can change ${paths.slice(0, NAMED_MAX).join(', ')}${more}`;
}

function problemOf(result: ReloadResult): string | undefined {
  switch (result.outcome) {
    case 'in_force':
      return undefined;
    case 'waits':
      return `the new configuration waits: ${result.why}`;
    case 'rejected':
      return `the new configuration is rejected: ${result.why.join('; ')}`;
  }
}
