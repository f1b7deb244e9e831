/** A process of the lab: its output as bounded lines that a test can wait for. */
import { type ChildProcess, spawn } from 'node:child_process';

/** How many lines are kept of one process, and how long one may be. */
const LOG_LINES = 20_000;
const LINE_CHARS = 4_000;

export interface LabProcess {
  readonly pid: number;
  /** Lines written so far, dropped ones included: a mark for `lines` and `waitFor`. */
  mark(): number;
  /** Lines of stdout and stderr since `from` (0: all that are kept). */
  lines(from?: number): readonly string[];
  /** The first line since `from` that matches; rejects after `timeoutMs`, or when the process ends without it. */
  waitFor(pattern: RegExp, timeoutMs: number, from?: number): Promise<string>;
  running(): boolean;
  /** Resolves with the exit code or the signal's name; rejects after `timeoutMs`. */
  exited(timeoutMs: number): Promise<number | string>;
  /** Sends `signal` (SIGKILL unless told) and waits until the process is gone; SIGKILL follows after five seconds. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts `command`. The caller sees to it that it dies with the test process (`setpriv --pdeathsig`). */
export function startProcess(command: string, args: readonly string[], env: NodeJS.ProcessEnv): LabProcess {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
  const log = collectLines(child);
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => {
      log.push(`cannot start ${command}: ${error.message}`);
      resolve('error');
    });
    // 'close' and not 'exit': by then the output is complete.
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'error'));
  });
  let running = true;
  void ended.then(() => {
    running = false;
    log.wake();
  });
  const self: LabProcess = {
    pid: child.pid ?? -1,
    mark: log.count,
    lines: log.lines,
    running: () => running,
    async waitFor(pattern, timeoutMs, from = 0) {
      const deadlineMs = Date.now() + timeoutMs;
      for (;;) {
        const found = log.lines(from).find((line) => pattern.test(line));
        if (found !== undefined) return found;
        const leftMs = deadlineMs - Date.now();
        if (leftMs <= 0 || !running) {
          const why = running ? `within ${timeoutMs} ms` : 'before the process ended';
          throw new Error(`${command}: no line matched ${pattern} ${why}; the last ones:\n${tail(log.lines(0))}`);
        }
        await log.next(Math.min(leftMs, 1_000));
      }
    },
    exited: (timeoutMs) => within(ended, timeoutMs, () => `${command} did not end within ${timeoutMs} ms`),
    async kill(signal = 'SIGKILL') {
      if (!running) return;
      child.kill(signal);
      try {
        await within(ended, 5_000, () => 'still there');
      } catch {
        child.kill('SIGKILL');
        await self.exited(5_000);
      }
    },
  };
  return self;
}

function tail(lines: readonly string[]): string {
  return lines.slice(-30).join('\n');
}

async function within<T>(promise: Promise<T>, timeoutMs: number, why: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(why())), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

interface Log {
  push(line: string): void;
  count(): number;
  lines(from?: number): readonly string[];
  /** Resolves at the next output, or after `ms`. */
  next(ms: number): Promise<void>;
  wake(): void;
}

function collectLines(child: ChildProcess): Log {
  const kept: string[] = [];
  let dropped = 0;
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const resume of waiting) resume();
    waiting.clear();
  };
  const push = (line: string) => {
    kept.push(line.slice(0, LINE_CHARS));
    if (kept.length > LOG_LINES) dropped += kept.splice(0, LOG_LINES / 10).length;
  };
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = (parts.pop() ?? '').slice(0, LINE_CHARS);
      parts.forEach(push);
      wake();
    });
    stream?.on('end', () => {
      if (rest !== '') push(rest);
      wake();
    });
  }
  return {
    push,
    wake,
    count: () => dropped + kept.length,
    lines: (from = 0) => kept.slice(Math.max(0, from - dropped)),
    next: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(done, ms);
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      }),
  };
}
