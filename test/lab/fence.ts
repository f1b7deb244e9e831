/** A fence of the lab: the built program, in a host's namespace, with the rights that it has in production and no more. */
import { execFile } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Dist, FENCE_UID } from './dist.ts';
import { type EngineName, withEngine } from './engines.ts';
import type { Host } from './lab.ts';
import { parseMetrics, type Sample, sumMetric } from './metrics.ts';
import type { LabProcess } from './process.ts';

const ADMIN = '127.0.0.1:9746';
const START_TIMEOUT_MS = 20_000;
const POLL_MS = 100;
const NET_RAW_ONLY = '-all,+net_raw';

export interface FenceOptions {
  /** Whether to run `ringfence intercept` first. Default: when the configuration says `transparent`. */
  readonly intercept?: boolean;
  /** What to wait for: `healthy` (the default, because the app usually comes later), `ready`, or nothing. */
  readonly until?: 'healthy' | 'ready' | 'spawned';
  /** What must carry it: set in its configuration, and looked up in its status once it is healthy. Default: as configured. */
  readonly engine?: EngineName;
  readonly env?: NodeJS.ProcessEnv;
}

export interface Fence {
  readonly configFile: string;
  /** The running program; a new one after `start`. */
  process(): LabProcess;
  /** Log lines of the present run since `from`. */
  lines(from?: number): readonly string[];
  metrics(): Promise<readonly Sample[]>;
  /** Sum of the samples of `ringfence_<name>` with `labels`; throws when the series does not exist. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** GET of an admin path, parsed. */
  get(path: string): Promise<unknown>;
  status(): Promise<unknown>;
  /** Runs `ringfence stage NAME`. */
  setStage(stage: string, ...flags: readonly string[]): string;
  /** Runs any sub-command in the host as root; throws when it fails. */
  cli(...args: readonly string[]): string;
  /** The same without holding up the test process, telling failure by value. */
  run(...args: readonly string[]): Promise<{ readonly ok: boolean; readonly output: string }>;
  waitUntil(state: 'healthy' | 'ready', timeoutMs?: number): Promise<void>;
  /** SIGTERM, and waits for the end; gives the exit code. The rules stay. */
  stop(timeoutMs?: number): Promise<number | string>;
  /** SIGKILL: the rules stay, so nothing passes. */
  kill9(): Promise<void>;
  /** Starts it again after `stop` or `kill9`. */
  start(until?: FenceOptions['until']): Promise<void>;
}

/** Writes the configuration (an object as JSON, which is YAML too; the admin address is added) and starts the fence. */
export async function startFence(host: Host, dist: Dist, config: unknown, options: FenceOptions = {}): Promise<Fence> {
  const dir = mkdtempSync(join(dist.root, 'fence-'));
  chmodSync(dir, 0o755);
  const stateDir = join(dir, 'state');
  mkdirSync(stateDir);
  chownSync(stateDir, FENCE_UID, FENCE_UID);
  const configFile = join(dir, 'ringfence.yaml');
  const { engine } = options;
  const wanted = engine === undefined ? config : withEngine(config, engine);
  const text = typeof wanted === 'string' ? wanted : JSON.stringify({ admin: { address: ADMIN }, ...Object(wanted) });
  writeFileSync(configFile, text);
  chmodSync(configFile, 0o644);

  const cli = (...args: readonly string[]) => host.exec(dist.node, [dist.entry, ...args], options.env);
  if (options.intercept ?? /["\s]transparent["\s]*:/.test(text)) cli('intercept', '-c', configFile);

  const launch = () =>
    host.spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', '--reuid', String(FENCE_UID), '--regid', String(FENCE_UID), '--clear-groups'],
        ...[`--inh-caps=${NET_RAW_ONLY}`, `--ambient-caps=${NET_RAW_ONLY}`, `--bounding-set=${NET_RAW_ONLY}`],
        // tap's hooks write files at the end that this user may not write, and a fence that cannot end hangs.
        ...(options.env?.['NODE_OPTIONS'] === undefined ? ['env', '-u', 'NODE_OPTIONS'] : []),
        ...[dist.node, dist.entry, 'run', '-c', configFile],
      ],
      options.env === undefined ? {} : { env: options.env },
    );
  let current = launch();
  const fence = fenceHandle(host, configFile, cli, () => current);
  const handle: Fence = {
    ...fence,
    run: (...args) => host.run(dist.node, [dist.entry, ...args]),
    async start(until = 'healthy') {
      if (current.running()) throw new Error('the fence is still running');
      current = launch();
      if (until !== 'spawned') await fence.waitUntil(until);
    },
  };
  const until = options.until ?? 'healthy';
  if (until !== 'spawned') await handle.waitUntil(until);
  if (until !== 'spawned' && engine !== undefined) assertEngine(await handle.status(), engine);
  return handle;
}

function assertEngine(status: unknown, engine: EngineName): void {
  const { fences } = status as { readonly fences: readonly { readonly engine: string }[] };
  const engines = fences.map((fence) => fence.engine);
  if (engines.length === 0 || engines.some((name) => name !== engine)) {
    throw new Error(`carried by ${engines.join(', ') || 'nothing'}, not by ${engine}`);
  }
}

function fenceHandle(
  host: Host,
  configFile: string,
  cli: Fence['cli'],
  current: () => LabProcess,
): Omit<Fence, 'start' | 'run'> {
  const text = (path: string) => fetchIn(host, `http://${ADMIN}${path}`);
  const fence: Omit<Fence, 'start' | 'run'> = {
    configFile,
    cli,
    process: current,
    lines: (from) => current().lines(from),
    metrics: async () => parseMetrics(await text('/metrics')),
    metric: async (name, labels) => sumMetric(await fence.metrics(), `ringfence_${name}`, labels),
    get: async (path) => JSON.parse(await text(path)) as unknown,
    status: () => fence.get('/api/v1/status'),
    setStage: (stage, ...flags) => cli('stage', stage, '--admin', `http://${ADMIN}`, ...flags),
    async waitUntil(state, timeoutMs = START_TIMEOUT_MS) {
      const deadlineMs = Date.now() + timeoutMs;
      let why = '';
      // What holds up the test's process meanwhile (other hosts' commands) may outlast the deadline: the last look comes after it.
      for (let last = false; !last; ) {
        last = Date.now() >= deadlineMs;
        if (!current().running()) throw new Error(`the fence ended:\n${current().lines().slice(-20).join('\n')}`);
        try {
          await text(state === 'healthy' ? '/healthz' : '/readyz');
          return;
        } catch (error) {
          why = (error as Error).message;
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      throw new Error(
        `the fence was not ${state} in ${timeoutMs} ms: ${why}\n${current().lines().slice(-20).join('\n')}`,
      );
    },
    async stop(timeoutMs = 15_000) {
      process.kill(current().pid, 'SIGTERM');
      return current().exited(timeoutMs);
    },
    kill9: () => current().kill('SIGKILL'),
  };
  return fence;
}

/** GETs a page from inside the host; rejects on an HTTP status of 400 and above with the body. Five seconds at most. */
export async function fetchIn(host: Host, url: string, ...curlArgs: readonly string[]): Promise<string> {
  const args = [
    'netns',
    'exec',
    host.namespace,
    'curl',
    '-sS',
    '--fail-with-body',
    '--max-time',
    '5',
    ...curlArgs,
    url,
  ];
  try {
    const { stdout } = await promisify(execFile)('ip', args, { maxBuffer: 16 * 1024 * 1024, timeout: 10_000 });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`GET ${url}: ${`${stderr}${stdout}`.trim() || message}`, { cause: error });
  }
}
