/** Network namespaces: made by `ip`, named after this process, removed with everything that runs in them. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

const PREFIX = 'rflab';
const COMMAND_TIMEOUT_MS = 20_000;
const COMMAND_OUTPUT_BYTES = 16 * 1024 * 1024;

/** A name that no other process of this machine uses: `rflab-<pid>-<lab>-<host>`. */
export function namespaceName(lab: string, host: string): string {
  return `${PREFIX}-${process.pid}-${lab}-${host}`;
}

/** Runs `ip`; throws with what it said. */
export function ip(...args: readonly string[]): string {
  return run('ip', args);
}

/** Runs a command, bounded in time and output; throws with its output when it fails. */
export function run(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): string {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: COMMAND_OUTPUT_BYTES,
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      ...(env === undefined ? {} : { env }),
    });
  } catch (error) {
    const { stdout = '', stderr = '', status } = error as { stdout?: string; stderr?: string; status?: number | null };
    const said = `${stdout}${stderr}`.trim() || (error as Error).message;
    throw new Error(`${[command, ...args].join(' ')} failed (${status ?? 'no exit code'}): ${said}`, { cause: error });
  }
}

/** Adds a namespace with lo up and strict reverse-path checks, as the hardest case for a transparent proxy. */
export function addNamespace(name: string): void {
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  inNamespace(name, 'sh', [
    '-c',
    'for c in all default lo; do echo 1 > /proc/sys/net/ipv4/conf/$c/rp_filter; done; ' +
      'for c in all default; do echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/$c/accept_ra; done',
  ]);
}

/** Runs a command in a namespace; throws when it fails. */
export function inNamespace(name: string, command: string, args: readonly string[], env?: NodeJS.ProcessEnv): string {
  return run('ip', ['netns', 'exec', name, command, ...args], env);
}

/** Kills what runs in the namespace, by process id, and removes it. Never throws: it runs in clean-ups. */
export function removeNamespace(name: string): void {
  try {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // Gone in between.
      }
    }
    ip('netns', 'del', name);
  } catch {
    // Gone already, or never made.
  }
}

/** Removes the namespaces that dead test processes left behind. */
export function removeStaleNamespaces(): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = /^rflab-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeNamespace(name);
  }
}
