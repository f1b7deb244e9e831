/** What a process costs: memory at rest and after a flood, and the time from its start to the first datagram it forwards. */
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Forwarder, fenceCommand, fenceConfig, type Way } from './engines.ts';
import { type Context, type Engine, type Figures, inTurn, type Measure, type Round, type Stand } from './measure.ts';
import { describeMemory } from './memory-map.ts';
import { gossipPacket } from './packets.ts';
import { sleep, withChildren } from './processes.ts';
import { dskitPackets } from './tcp-payloads.ts';
import { startTcpProxy } from './tcp-proxies.ts';
import { closeArms, openArms, startLoad } from './udp-forward.ts';

const UDP_ENGINES = ['linux', 'portable', 'nginx', 'c', 'go'] as const satisfies readonly Engine[];
const HAPROXY: Way = { listen: '127.10.0.1:7946', app: '127.10.0.1:7947', admin: '127.10.0.1:9746' };
const START_TIMEOUT_MS = 10_000;
const START_ROUNDS = 9;
const KB_PER_MB = 1_024;
const FLOOD_SOURCES = 64;
const EMPTY_MS = 500;

const MEMORY: Measure = {
  name: 'memory',
  group: 'process',
  figures: {
    rss_idle_mb: 'resident MiB, one fence with engine and admin API (nginx: master and worker), 10 s after the start',
    rss_idle_anon_mb: 'the part of it that is its own: the rest are pages of the program and its libraries',
    rss_loaded_mb: 'resident MiB 10 s after a flood of 10 s from 64 sources',
    rss_loaded_anon_mb: 'the part of it that is its own',
  },
  engines: [...UDP_ENGINES, 'haproxy'],
  rounds: () => 1,
  open: openMemory,
};

async function openMemory(context: Context): Promise<Stand> {
  const waitMs = context.short ? 3_000 : 10_000;
  const arms = await openArms(context, gossipPacket(), UDP_ENGINES);
  let haproxy: Forwarder | undefined;
  const close = async () => {
    await closeArms(arms);
    await haproxy?.stop();
  };
  try {
    if (context.engines.includes('haproxy')) {
      haproxy = await startTcpProxy('haproxy', HAPROXY, { labelAt: dskitPackets().labelAt, bulk: false }, context);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const proxies = () => [...[...arms.values()].map(({ proxy }) => proxy), ...(haproxy === undefined ? [] : [haproxy])];
  const measure = (kind: string): Round =>
    Object.fromEntries(proxies().map(({ engine, program }) => [engine, memoryOf(program.pid, kind)]));
  let idle: Round | undefined;
  const mapped: string[] = [];
  const map = (when: string) => {
    for (const { engine, program } of proxies()) {
      if (engine === 'linux' || engine === 'portable')
        mapped.push(`${engine} ${when}, MiB: ${describeMemory(program.pid)}`);
    }
  };
  const { node } = context.ringfence;
  const empty = await emptyNode(node);
  return {
    notes: () => [...whereItGoes(empty, idle ?? {}), ...mapped],
    async round() {
      // The first round, which the runner throws away, is the wait.
      if (idle === undefined) {
        await sleep(waitMs);
        idle = measure('rss_idle');
        map('at rest');
        return {};
      }
      for (const { proxy } of arms.values()) {
        const load = await startLoad(context, gossipPacket(), proxy.way.listen, { sources: FLOOD_SOURCES });
        await sleep(waitMs);
        await load.stop();
      }
      await sleep(waitMs);
      const loaded = measure('rss_loaded');
      map('after a flood');
      return Object.fromEntries(
        proxies().map(({ engine }) => {
          const after = arms.has(engine) ? loaded[engine] : {};
          return [engine, { ...idle?.[engine], ...after }];
        }),
      );
    },
    close,
  };
}

/** What a node takes that does nothing. */
async function emptyNode(node: string): Promise<Figures> {
  const child = spawn(node, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const exit = once(child, 'exit');
  try {
    await sleep(EMPTY_MS);
    return memoryOf(child.pid ?? -1, 'rss_idle');
  } finally {
    child.kill('SIGKILL');
    await exit;
  }
}

/** What the idle memory is for, by leaving things out: the engine, the fence, everything. */
function whereItGoes(empty: Figures, { linux = {}, portable = {} }: Round): readonly string[] {
  const own = (figures: Figures) => figures['rss_idle_anon_mb'] ?? Number.NaN;
  const program = (figures: Figures) => (figures['rss_idle_mb'] ?? Number.NaN) - own(figures);
  const mb = (value: number) => `${value.toFixed(1)} MiB`;
  return [
    `a node that does nothing: ${mb(own(empty))} of its own, ${mb(program(empty))} of its program and libraries`,
    `the fence without the Linux engine (bundle, configuration and its check, log, metrics, admin API, peer table, inspection): ${mb(own(portable) - own(empty))} more of its own, ${mb(program(portable) - program(empty))} more of the program`,
    `the Linux engine (its thread with a heap of its own, koffi, batches, rings): ${mb(own(linux) - own(portable))} more of its own; it lets go of the pages of the program that only the start needed, which leaves ${mb(program(linux))} of them`,
  ];
}

/** Resident memory of a process and its children; pages that they share count for each. */
function memoryOf(pid: number, kind: string): Figures {
  const sum = (field: string) =>
    withChildren(pid).reduce((total, one) => {
      const status = readFileSync(`/proc/${one}/status`, 'utf8');
      return total + Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
    }, 0) / KB_PER_MB;
  return { [`${kind}_mb`]: sum('VmRSS'), [`${kind}_anon_mb`]: sum('RssAnon') };
}

const START: Measure = {
  name: 'start',
  group: 'process',
  figures: { start_ms: 'from spawn to the first datagram that comes through, ms; both cores' },
  engines: ['linux', 'portable'],
  rounds: ({ short }) => (short ? 3 : START_ROUNDS),
  open: openStart,
};

async function openStart(context: Context): Promise<Stand> {
  const app = createSocket('udp4');
  const from = createSocket('udp4');
  // The app's TCP port is looked at too.
  const server = createServer((socket) => socket.resume());
  const host = '127.11.0.1';
  app.bind(7947, host);
  from.bind(0, '127.11.0.2');
  server.listen(7947, host);
  await Promise.all([once(app, 'listening'), once(from, 'listening'), once(server, 'listening')]);
  // Nobody listens at first.
  from.on('error', () => undefined);
  const engines = START.engines.filter((engine) => context.engines.includes(engine));
  return {
    round: () => inTurn(engines, async (engine) => ({ start_ms: await startMs(context, engine, host, from, app) })),
    async close() {
      app.close();
      from.close();
      server.close();
    },
  };
}

async function startMs(context: Context, engine: Engine, host: string, from: Socket, app: Socket): Promise<number> {
  const file = join(context.dir, `start-${engine}.json`);
  const way = { listen: `${host}:7946`, app: `${host}:7947`, admin: `${host}:9746` };
  writeFileSync(file, JSON.stringify(fenceConfig(engine === 'linux' ? 'linux' : 'portable', way)));
  const { labelled } = gossipPacket();
  const [command, ...args] = fenceCommand(context, file);
  const spawnedMs = performance.now();
  const child = spawn(command, args, { stdio: 'ignore' });
  const exit = once(child, 'exit');
  const tick = setInterval(() => from.send(labelled, 7946, host, () => undefined), 1);
  try {
    await once(app, 'message', { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
    return performance.now() - spawnedMs;
  } finally {
    clearInterval(tick);
    child.kill('SIGKILL');
    await exit;
    // What was forwarded and not read yet must not end the next start's wait.
    await sleep(100);
  }
}

export const PROCESS: readonly Measure[] = [MEMORY, START];
