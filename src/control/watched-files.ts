/**
 * A value made of files that others rewrite while the fence runs. Whole contents are compared and no times or inodes, because a mounted
 * Secret changes by a symlink and an editor by a new file; what was last good stays in use.
 */

/** Between two looks at the files, ms. A change is taken up once two looks agree, so within twice that. */
export const WATCH_INTERVAL_MS = 2_000;

export interface WatchedFilesOptions<T> {
  /** Reads the files; what is wrong with them, in one line without any of their content, when they cannot be used. Never rejects. */
  load(): Promise<T | string>;
  same(a: T, b: T): boolean;
  /** Called after a change was taken up. */
  onChange(value: T): void;
  /** What is wrong with a value that is in use, apart from its files; undefined when nothing is. */
  fault(value: T): string | undefined;
  /** How it is said that the files broke while a value of theirs is in use; `why` comes from `load`. */
  broken(why: string): string;
  /** What is wrong with the files or the value in use, or, undefined, that all is right again. */
  onProblem(why: string | undefined): void;
}

export interface WatchedFiles<T> {
  /** Of the files as they were last good. */
  value(): T;
  /** What was last given to `onProblem`. */
  problem(): string | undefined;
  /** Looks once. Calls that overlap share one look. Never rejects. */
  check(): Promise<void>;
  /** Looks every WATCH_INTERVAL_MS from now on. */
  start(): void;
  stop(): void;
}

/** Loads the files once; gives what is wrong with them when they cannot be used. */
export async function openWatchedFiles<T extends object>(
  options: WatchedFilesOptions<T>,
): Promise<WatchedFiles<T> | string> {
  const first = await options.load();
  if (typeof first === 'string') return first;
  let used: T = first;
  let problem: string | undefined;
  /** What the last look saw. */
  let seen: T | string | undefined;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const settle = (why: string | undefined) => {
    if (why === problem) return;
    problem = why;
    options.onProblem(why);
  };
  const same = (a: T | string, b: T | string | undefined): boolean =>
    typeof a === 'string' || typeof b === 'string' || b === undefined ? a === b : options.same(a, b);
  const take = (found: T | string) => {
    // One look may fall into the middle of somebody's writing, or between the files of one rotation.
    const twice = same(found, seen);
    seen = found;
    if (typeof found === 'string') {
      if (twice) settle(options.broken(found));
      return;
    }
    const changed = !same(found, used);
    if (changed && !twice) return;
    if (changed) {
      used = found;
      options.onChange(used);
    }
    settle(options.fault(used));
  };
  const check = (): Promise<void> => {
    looking ??= options
      .load()
      .then(take)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  settle(options.fault(used));
  return {
    value: () => used,
    problem: () => problem,
    check,
    start() {
      timer ??= setInterval(() => void check(), WATCH_INTERVAL_MS);
      timer.unref();
    },
    stop: () => clearInterval(timer),
  };
}
