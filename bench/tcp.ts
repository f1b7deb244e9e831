/** TCP through each proxy: short connections a second, and bytes a second of push/pulls, as many at once as fill it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Forwarder, Way } from './engines.ts';
import { type Context, type Engine, type Figures, inTurn, type Measure, type Stand, shortfall } from './measure.ts';
import { cpuMs, idleMs, type Program, runToEnd, sleep, softirqMs, start } from './processes.ts';
import { median } from './results.ts';
import { BULK_BYTES, dskitPackets, type Payloads, pushPullHead, pushPulls } from './tcp-payloads.ts';
import { startTcpProxy } from './tcp-proxies.ts';

const TCP_ENGINES = ['linux', 'portable', 'nginx', 'haproxy', 'c', 'go', 'node'] as const satisfies readonly Engine[];
const WARM_MS = 300;
const SETTLE_MS = 200;
/**
 * Before an engine is measured first: connections that it must have carried, so that what is compiled as it runs is; in so many loads at most.
 * V8 compiles for the first 60,000 to 100,000 connections of the Linux engine, those of the round that is thrown away included.
 */
const WARM_WORK = { tcp_connections: 60_000, tcp_bulk_mbps: 3_000 } as const;
const WARM_LOADS_MAX = 6;
/** What the load takes besides its own time: the connections that are open at its end. */
const LOAD_SLACK_MS = 15_000;
/** A proxy whose core rested for more of the time waited for the load: its figure by the clock is a lower bound. */
const RESTS_MAX = 0.1;

interface Kind {
  readonly name: 'tcp_connections' | 'tcp_bulk_mbps';
  /** First number of the addresses 127.x.0.0: no two measures share a port. */
  readonly net: number;
  readonly words: string;
  readonly payloads: () => Payloads;
  /** Further arguments of load and sink. */
  readonly load: readonly string[];
  readonly sink: () => readonly string[];
}

const bulkArgs = () => ['--filler', String(BULK_BYTES), '--answer', String(pushPullHead().length + BULK_BYTES)];

const KINDS: readonly Kind[] = [
  {
    name: 'tcp_connections',
    net: 8,
    words:
      'connections a second of a core, 64 at once: a dskit packet of 300 B each; fences strip the label and make the digest anew',
    payloads: dskitPackets,
    load: ['--at-once', '64'],
    sink: () => [],
  },
  {
    name: 'tcp_bulk_mbps',
    net: 9,
    words:
      'MB a second of a core, both ways together: push/pulls of 10 MB each way, 8 at once, which load and app neither copy nor compare; fences strip the label',
    payloads: pushPulls,
    load: ['--at-once', '8', ...bulkArgs()],
    sink: () => [...bulkArgs(), '--answer-head', pushPullHead().toString('hex')],
  },
];

export const TCP: readonly Measure[] = KINDS.map((kind) => ({
  name: kind.name,
  group: 'tcp',
  figures: {
    [kind.name]: kind.words,
    [`${kind.name}_wall`]: 'the same, a second of the clock: other programs on the machine take their part of it',
  },
  engines: TCP_ENGINES,
  open: (context) => openTcp(context, kind),
}));

interface Arm {
  readonly proxy: Forwarder;
  readonly sink: Program;
}

/** Parts of the measured time for which a proxy ran, and for which its core did nothing. */
interface Parts {
  readonly ran: number;
  readonly rested: number;
}

/** Whether the load filled a proxy; what is missing to one were others on its core. */
function fullness(engine: Engine, parts: readonly Parts[]): string {
  const [ran, rested] = [median(parts.map((part) => part.ran)), median(parts.map((part) => part.rested))];
  const words = rested > RESTS_MAX ? 'the load did not fill it, by the clock its figure is a lower bound' : 'saturated';
  return `${engine}: it ran for ${ran.toFixed(2)} of the time, its core rested for ${rested.toFixed(2)}: ${words}`;
}

interface SinkCounts {
  readonly good: number;
  readonly wrong: number;
  readonly broken: number;
}

async function openTcp(context: Context, kind: Kind): Promise<Stand> {
  const payloads = kind.payloads();
  const file = (name: 'labelled' | 'stripped') => {
    const path = join(context.dir, `${kind.name}-${name}.hex`);
    writeFileSync(path, `${payloads[name].map((bytes) => bytes.toString('hex')).join('\n')}\n`);
    return path;
  };
  const files = { labelled: file('labelled'), stripped: file('stripped') };
  const carried = { labelAt: payloads.labelAt, bulk: kind.name === 'tcp_bulk_mbps' };
  const arms = new Map<Engine, Arm>();
  const close = async () => {
    await Promise.all([...arms.values()].map(({ proxy }) => proxy.stop()));
    await Promise.all([...arms.values()].map(({ sink }) => sink.stop()));
  };
  const direct = await startSink(context, kind, directWay(kind.net).app, files.labelled);
  const directs: number[] = [];
  const parts = new Map<Engine, Parts[]>();
  try {
    for (const engine of TCP_ENGINES.filter((one) => context.engines.includes(one))) {
      const way = wayOf(kind.net, engine);
      const strips = engine === 'linux' || engine === 'portable';
      const sink = await startSink(context, kind, way.app, strips ? files.stripped : files.labelled);
      try {
        arms.set(engine, { sink, proxy: await startTcpProxy(engine, way, carried, context) });
      } catch (error) {
        await sink.stop();
        throw error;
      }
    }
  } catch (error) {
    await close();
    await direct.stop();
    throw error;
  }
  return {
    async round() {
      const { perSecond } = await load(context, kind, files.labelled, directWay(kind.net).app);
      const ofRound = new Map<Engine, Parts>();
      const round = await inTurn([...arms.keys()], (engine) =>
        sample(context, kind, files.labelled, arms.get(engine) as Arm, { isWarm: parts.has(engine), parts: ofRound }),
      );
      directs.push(perSecond);
      for (const [engine, part] of ofRound) parts.set(engine, [...(parts.get(engine) ?? []), part]);
      return round;
    },
    notes: () => [
      `without a proxy, load and app on one core: ${directs.map((rate) => Math.round(rate)).join(', ')} exchanges a second`,
      ...[...parts].map(([engine, ofRounds]) => fullness(engine, ofRounds)),
      ...[...arms.values()].map(({ proxy }) => `${proxy.engine}: \`${proxy.setup.replaceAll(/\s+/g, ' ').trim()}\``),
    ],
    async close() {
      await close();
      await direct.stop();
    },
  };
}

function wayOf(net: number, engine: (typeof TCP_ENGINES)[number]): Way {
  const host = `127.${net}.0.${TCP_ENGINES.indexOf(engine) + 1}`;
  return { listen: `${host}:7946`, app: `${host}:7947`, admin: `${host}:9746` };
}

function directWay(net: number): { readonly app: string } {
  return { app: `127.${net}.0.100:7947` };
}

async function startSink(context: Context, kind: Kind, at: string, payloads: string): Promise<Program> {
  const args = ['--at', at, '--payloads', payloads, ...kind.sink()];
  const sink = start(context.programs('tcp-sink'), args, { core: context.cores.load });
  await sink.line();
  return sink;
}

async function countsOf(sink: Program): Promise<SinkCounts> {
  sink.write('count\n');
  return JSON.parse(await sink.line()) as SinkCounts;
}

interface Loaded {
  readonly failed: number;
  readonly total: number;
  readonly perSecond: number;
  readonly mbPerSecond: number;
}

async function load(context: Context, kind: Kind, payloads: string, to: string): Promise<Loaded> {
  const times = ['--warmup-ms', String(WARM_MS), '--ms', String(context.sampleMs)];
  const line = await runToEnd(
    context.programs('tcp-load'),
    [...kind.load, '--to', to, '--payloads', payloads, ...times],
    { core: context.cores.load, timeoutMs: WARM_MS + context.sampleMs + LOAD_SLACK_MS },
  );
  return JSON.parse(line) as Loaded;
}

async function warmUp(context: Context, kind: Kind, payloads: string, { proxy, sink }: Arm): Promise<void> {
  const first = (await countsOf(sink)).good;
  for (let i = 0; i < WARM_LOADS_MAX; i++) {
    await load(context, kind, payloads, proxy.way.listen);
    if ((await countsOf(sink)).good - first >= WARM_WORK[kind.name]) return;
  }
}

/** Watches a proxy while it is loaded. */
async function partsOf({ cores, sampleMs }: Context, { program }: Forwarder): Promise<Parts> {
  const clock = () => ({
    atMs: performance.now(),
    ran: cpuMs([program.pid]) + softirqMs(cores.proxy),
    rested: idleMs(cores.proxy),
  });
  await sleep(WARM_MS);
  const from = clock();
  await sleep(sampleMs - SETTLE_MS);
  const to = clock();
  const tookMs = to.atMs - from.atMs;
  return { ran: (to.ran - from.ran) / tookMs, rested: (to.rested - from.rested) / tookMs };
}

/** Loads one proxy; every connection must have arrived right, and a fence must have counted each. */
async function sample(
  context: Context,
  kind: Kind,
  payloads: string,
  { proxy, sink }: Arm,
  { isWarm, parts }: { readonly isWarm: boolean; readonly parts: Map<Engine, Parts> },
): Promise<Figures> {
  const passed = () =>
    proxy.strips ? proxy.metric('frames_total', { direction: 'inbound', verdict: 'pass' }) : Promise.resolve(0);
  if (!isWarm) await warmUp(context, kind, payloads, { proxy, sink });
  const [before, passedBefore] = [await countsOf(sink), await passed()];
  // Together: a load that fails while its proxy is watched fails the measure, and not the run.
  const [{ failed, total, perSecond, mbPerSecond }, part] = await Promise.all([
    load(context, kind, payloads, proxy.way.listen),
    partsOf(context, proxy),
  ]);
  await sleep(SETTLE_MS);
  const [after, counted] = [await countsOf(sink), (await passed()) - passedBefore];
  const { engine } = proxy;
  if (after.wrong > before.wrong)
    throw new Error(`${engine}: ${after.wrong - before.wrong} wrong connections at the app`);
  if (failed > 0) throw shortfall(engine, `${failed} of ${total} connections failed`);
  if (total === 0 || after.good - before.good !== total) {
    throw new Error(`${engine}: ${total} connections sent, ${after.good - before.good} arrived`);
  }
  if (proxy.strips && counted !== total) throw new Error(`${engine}: it counted ${counted} connections, not ${total}`);
  parts.set(engine, part);
  const rate = kind.name === 'tcp_bulk_mbps' ? mbPerSecond : perSecond;
  return { [kind.name]: rate / part.ran, [`${kind.name}_wall`]: rate };
}
