/** Programs of the benchmark: started on a core, spoken to by lines, their time on a core read from the kernel. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 10_000;
const LINES_MAX = 10_000;

export interface Program {
  readonly pid: number;
  /** The next line of stdout that was not taken yet; rejects when the program ends first, or after `timeoutMs`. */
  line(timeoutMs?: number): Promise<string>;
  write(text: string): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<number | string>;
  /** The last lines of stderr. */
  errors(): string;
  /** Sends `signal` (SIGTERM unless told), then SIGKILL when that does not end it. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface StartOptions {
  readonly core: number;
  readonly env?: NodeJS.ProcessEnv;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  // Their children too: a worker of nginx outlives its master's SIGKILL.
  for (const pid of [...running].flatMap(({ pid = 0 }) => (pid > 0 ? withChildren(pid) : []))) killNow(pid);
});

/** Starts `command` on one core, all its threads. */
export function start(command: string, args: readonly string[], { core, env }: StartOptions): Program {
  const child = spawn('taskset', ['-c', String(core), command, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  running.add(child);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const resume of waiting) resume();
    waiting.clear();
  };
  let stderr = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    lines.splice(0, Math.max(0, lines.length - LINES_MAX));
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4_000);
  });
  // A program that has ended cannot be written to; that it ended is what counts.
  child.stdin.on('error', () => undefined);
  let over = false;
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'error'));
  });
  void ended.then(() => {
    over = true;
    running.delete(child);
    wake();
  });
  return {
    pid: child.pid ?? -1,
    ended,
    errors: () => stderr,
    write: (text) => child.stdin.write(text),
    async line(timeoutMs = START_TIMEOUT_MS) {
      const deadlineMs = performance.now() + timeoutMs;
      for (;;) {
        const found = lines.shift();
        if (found !== undefined) return found;
        const leftMs = deadlineMs - performance.now();
        if (over || leftMs <= 0) throw new Error(`${command} said nothing${over ? ' and ended' : ''}: ${stderr}`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, Math.min(leftMs, 1_000));
          waiting.add(() => {
            clearTimeout(timer);
            resolve();
          });
        });
      }
    },
    async stop(signal = 'SIGTERM') {
      if (over) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** A run that is told to end cleans up as one that ends by itself: without this, a signal skips every `exit` handler. */
export function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}

/** Runs a program to its end and gives its last line; rejects with its words when it fails or takes longer than `timeoutMs`. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  { core, timeoutMs }: StartOptions & { readonly timeoutMs: number },
): Promise<string> {
  const program = start(command, args, { core });
  const timer = setTimeout(() => void program.stop('SIGKILL'), timeoutMs);
  const code = await program.ended;
  clearTimeout(timer);
  let last = '';
  for (;;) {
    const next = await program.line(0).catch(() => undefined);
    if (next === undefined) break;
    last = next;
  }
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${program.errors()}`);
  return last;
}

/** Moves a running process with all its threads to one core; threads that it starts later follow. */
export function pin(pid: number, core: number): void {
  for (const one of withChildren(pid)) execFileSync('taskset', ['-a', '-c', '-p', String(core), String(one)]);
}

/** Time that the threads of these processes and of their children have run on a core so far, ms. */
export function cpuMs(pids: readonly number[]): number {
  return pids.flatMap(withChildren).reduce((sum, pid) => sum + processMs(pid), 0);
}

/**
 * Time of the kernel's own thread for network work on `core`, ms: what it did for a proxy there is the proxy's. It runs only when a
 * core has more of that work than it does at once.
 */
export function softirqMs(core: number): number {
  ksoftirqd[core] ??= findThread(`ksoftirqd/${core}`);
  const pid = ksoftirqd[core];
  return pid === undefined ? 0 : processMs(pid);
}
const ksoftirqd: (number | undefined)[] = [];

/** Time for which a core did nothing so far, ms, in steps of 10. */
export function idleMs(core: number): number {
  const line =
    readText('/proc/stat')
      .split('\n')
      .find((text) => text.startsWith(`cpu${core} `)) ?? '';
  const [, , , , idle = 0, iowait = 0] = line.split(/\s+/).map(Number);
  return (idle + iowait) * 10;
}

function findThread(name: string): number | undefined {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.map(Number).find((pid) => readText(`/proc/${pid}/comm`).trim() === name);
}

/** A process and all below it. */
export function withChildren(pid: number): number[] {
  const children = tasks(pid).flatMap((task) => readText(`/proc/${pid}/task/${task}/children`).split(' '));
  return [pid, ...children.filter((text) => text.trim() !== '').flatMap((text) => withChildren(Number(text)))];
}

function processMs(pid: number): number {
  const times = tasks(pid).map((task) => Number(readText(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]));
  return times.reduce((sum, ns) => sum + ns, 0) / 1e6;
}

function tasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** A file's text; nothing when it is gone, as files of a process are when it ends. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
