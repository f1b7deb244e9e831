/** Starts a proxy of each kind in front of an app, on one core, and says how it was set up. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMetrics, sumMetric } from '../test/lab/metrics.ts';
import type { Context, Engine } from './measure.ts';
import { LABEL } from './packets.ts';
import { type Program, sleep, start } from './processes.ts';

const START_TIMEOUT_MS = 15_000;
/** The admin API of a process with a hundred fences takes seconds to answer. */
const ADMIN_TIMEOUT_MS = 20_000;
const POLL_MS = 25;
const PEERS = 1_024;

/** Where a proxy listens and where its app does, IPv4 `address:port`. */
export interface Way {
  readonly listen: string;
  readonly app: string;
  /** Of a fence: its admin API. */
  readonly admin: string;
  /** Peers that it must have room for at once; few unless told. */
  readonly peers?: number;
}

export interface Forwarder {
  readonly engine: Engine;
  readonly way: Way;
  readonly program: Program;
  /** Whether it takes the label off (nginx does not look). */
  readonly strips: boolean;
  /** Of a fence: the sum of the samples of `ringfence_<name>` with `labels`; 0 for a series that is not there yet. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** Its configuration or command line, as text. */
  readonly setup: string;
  stop(): Promise<void>;
}

/** The configuration of a fence in the benchmark: what is not named is the default, shield and inspection included. */
export function fenceConfig(engine: 'linux' | 'portable', way: Way): object {
  const fence = {
    name: 'bench',
    cluster: LABEL,
    stage: 'accept',
    engine,
    listen: way.listen,
    app: { address: way.app },
    admit: { cidrs: ['127.0.0.0/8'] },
  };
  return { admin: { address: way.admin }, log: { level: 'warn' }, fences: [fence] };
}

/** Starts it and waits until it can forward. `config`: keys of a fence's configuration that take the place of fenceConfig's. */
export async function startProxy(engine: Engine, way: Way, context: Context, config: object = {}): Promise<Forwarder> {
  if (engine === 'linux' || engine === 'portable')
    return startFence(engine, way, context, { ...fenceConfig(engine, way), ...config });
  if (engine === 'nginx' || engine === 'nginx_oneway') return startNginx(engine, way, context);
  if (engine === 'haproxy') throw new Error('haproxy forwards no UDP');
  const { program, command, leading } = forwarder(engine, 'udp-forward', context);
  const args = ['--listen', way.listen, '--app', way.app, '--label', LABEL];
  const started = start(command, [...leading, ...args], { core: context.cores.proxy });
  await started.line();
  return { ...plain(engine, way, started), strips: true, setup: `${program} ${args.join(' ')}` };
}

/** A forwarder of our own in another language: its name, and how it is run. */
export function forwarder(
  engine: Engine,
  name: 'udp-forward' | 'tcp-forward',
  { programs, ringfence }: Context,
): { readonly program: string; readonly command: string; readonly leading: readonly string[] } {
  if (engine === 'node') {
    const program = `${name}.mjs`;
    return { program, command: ringfence.node, leading: [new URL(`node/${program}`, import.meta.url).pathname] };
  }
  const program = engine === 'c' ? name : (`${name}-go` as const);
  return { program, command: programs(program), leading: [] };
}

function plain(engine: Engine, way: Way, program: Program): Omit<Forwarder, 'setup'> {
  const noMetric = () => Promise.reject(new Error(`${engine} has no metrics`));
  return { engine, way, program, strips: false, metric: noMetric, stop: () => program.stop() };
}

async function startFence(
  engine: 'linux' | 'portable',
  way: Way,
  context: Context,
  config: object,
): Promise<Forwarder> {
  const file = join(context.dir, `${engine}-${way.listen.replaceAll(/[.:]/g, '-')}.json`);
  writeFileSync(file, JSON.stringify(config, undefined, 2));
  const [command, ...args] = fenceCommand(context, file);
  const program = start(command, args, { core: context.cores.proxy });
  const get = async (path: string) => {
    const answer = await fetch(`http://${way.admin}${path}`, { signal: AbortSignal.timeout(ADMIN_TIMEOUT_MS) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text.slice(0, 200)}`);
    return text;
  };
  await untilUp(engine, program, () => get('/readyz'));
  await checkEngine(engine, await get('/api/v1/status'));
  return {
    ...plain(engine, way, program),
    strips: true,
    setup: JSON.stringify(config),
    async metric(name, labels) {
      const samples = parseMetrics(await get('/metrics'));
      const known = samples.some((sample) => sample.name === `ringfence_${name}`);
      try {
        return known ? sumMetric(samples, `ringfence_${name}`, labels) : 0;
      } catch {
        return 0; // No series with these labels yet.
      }
    },
  };
}

/** How a fence is started: with the flags of its launcher's first line. */
export function fenceCommand({ ringfence: { node, entry } }: Context, config: string): readonly [string, ...string[]] {
  const firstLine = readFileSync(entry, 'utf8').split('\n', 1)[0] ?? '';
  return [node, ...(firstLine.match(/ --\S+/g) ?? []).map((flag) => flag.trim()), entry, 'run', '-c', config];
}

/** A fence that fell back to the other engine would be measured under a false name. */
function checkEngine(engine: string, status: string): void {
  const { fences } = JSON.parse(status) as { fences: readonly { engine: string }[] };
  const used = fences[0]?.engine;
  if (used !== engine) throw new Error(`the fence runs on the engine ${used}, not ${engine}`);
}

async function untilUp(name: string, program: Program, ask: () => Promise<unknown>): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  let why: unknown;
  let ended: number | string | undefined;
  void program.ended.then((code) => {
    ended = code;
  });
  while (performance.now() < deadlineMs) {
    if (ended !== undefined) throw new Error(`${name} ended with ${ended}: ${program.errors()}`);
    try {
      await ask();
      return;
    } catch (error) {
      why = error;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`${name} did not start: ${program.errors()}`, { cause: why });
}

/**
 * nginx, one worker. `nginx` is its fastest way of being a forwarder in both directions: a session for each peer that stays (no
 * proxy_responses), all that waits taken at once (multi_accept). `nginx_oneway` ends the session with each datagram (proxy_responses 0).
 */
export function nginxConfig(engine: 'nginx' | 'nginx_oneway', way: Way): string {
  const responses = engine === 'nginx_oneway' ? '\n    proxy_responses 0;' : '';
  return nginxStream(
    'warn',
    `listen ${way.listen} udp rcvbuf=4m;
    proxy_pass ${way.app};
    proxy_timeout 60s;${responses}`,
    way.peers,
  );
}

/**
 * One worker with one stream server, of which `server` are the lines; `log`: the level that its errors need to be shown. Each of `peers` takes
 * two connections: no more are set than may be needed, because nginx takes memory for all of them as it starts. Run it with `-p`: its pid file goes there.
 */
export function nginxStream(log: 'warn' | 'crit', server: string, peers = PEERS): string {
  return `load_module ${nginxModule()};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr ${log};
events { worker_connections ${2 * peers}; multi_accept on; }
stream {
  server {
    ${server}
  }
}
`;
}

function nginxModule(): string {
  const places = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/share/nginx/modules'];
  const found = places.map((place) => `${place}/ngx_stream_module.so`).find((path) => existsSync(path));
  if (found === undefined) throw new Error('nginx has no stream module here (Debian: libnginx-mod-stream)');
  return found;
}

async function startNginx(engine: 'nginx' | 'nginx_oneway', way: Way, context: Context): Promise<Forwarder> {
  const dir = join(context.dir, `${engine}-${way.listen.replaceAll(/[.:]/g, '-')}`);
  mkdirSync(dir, { recursive: true });
  const text = nginxConfig(engine, way);
  writeFileSync(join(dir, 'nginx.conf'), text);
  const program = start('nginx', ['-p', dir, '-c', join(dir, 'nginx.conf')], { core: context.cores.proxy });
  await untilUp(engine, program, async () => {
    if (!isBound(way.listen)) throw new Error('not bound yet');
  });
  return { ...plain(engine, way, program), setup: text };
}

/** Whether a UDP socket is bound there, without sending to it. */
function isBound(endpoint: string): boolean {
  const [address = '', port = ''] = endpoint.split(':');
  const hex = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  const at = `${hex.toReversed().join('')}:${Number(port).toString(16).padStart(4, '0')}`.toUpperCase();
  return readFileSync('/proc/net/udp', 'utf8').includes(at);
}
