/** Datagrams a second through each proxy: one source and 64, as fast as the load can; and what a million of them cost. */
import { type Forwarder, startProxy, type Way } from './engines.ts';
import type { Context, Engine, Figures, Measure, Stand } from './measure.ts';
import { inTurn } from './measure.ts';
import { gossipPacket, type Packet, SOURCE, userPacket } from './packets.ts';
import { cpuMs, type Program, sleep, softirqMs, start } from './processes.ts';
import { oneLine } from './report.ts';
import { type Settled, settle } from './udp-settle.ts';
import { type Counts, checkCounts, type Sink, startSink } from './udp-sink.ts';

/** How long the load runs before the measured time. */
const WARM_MS = 250;
/** Before an engine is measured first: datagrams that it must have forwarded, so that what is compiled as it runs is; within so long. */
const WARM_PACKETS = 400_000;
const WARM_MAX_MS = 6_000;
const UDP_ENGINES = [
  'linux',
  'portable',
  'nginx',
  'nginx_oneway',
  'c',
  'go',
  'node',
] as const satisfies readonly Engine[];
/** A member of a large ring, busy: the rate at which the cost of a packet is taken. */
const CALM_RATE = 20_000;
/** A proxy that loses less than this part of what was sent was not the bottleneck. */
const SATURATED = 0.02;

export interface Arm {
  readonly proxy: Forwarder;
  readonly sink: Sink;
}

export interface Flood {
  readonly sources: number;
  readonly rate?: number;
  /** Addresses from the target's on that sources send to in turn. */
  readonly targets?: number;
  /** Port of every source; others for each load unless told. */
  readonly port?: number;
  /** Datagrams that a single source sends by one call. */
  readonly batch?: number;
  readonly warmMs?: number;
}

export interface Measured {
  readonly packets: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly saturated: boolean;
}

interface Kind {
  /** Of the measure, and of its figure. */
  readonly name: string;
  readonly sources: number;
  readonly packet: () => Packet;
  readonly words: string;
  /** Whether it gives the cost of a datagram at `CALM_RATE` too. */
  readonly calm?: boolean;
}

const USER = 'a plain user message in each: nothing inside to look at';
const GOSSIP = 'a ping and an alive message in each, which the shield reads and the ring learns from';

const KINDS: readonly Kind[] = [
  {
    name: 'udp_forward',
    sources: 1,
    packet: userPacket,
    words: `datagrams of 200 B a second of a core, label checked and stripped, one source; ${USER}`,
  },
  {
    name: 'udp_forward_64',
    sources: 64,
    packet: userPacket,
    words: `the same from 64 sources, each datagram from another one than the one before; ${USER}`,
  },
  {
    name: 'udp_forward_gossip',
    sources: 1,
    packet: gossipPacket,
    words: `datagrams of 200 B a second of a core, label checked and stripped, one source; ${GOSSIP}. No floor stands against it`,
  },
  {
    name: 'udp_forward_gossip_64',
    sources: 64,
    packet: gossipPacket,
    words: `the same from 64 sources, each datagram from another one than the one before; ${GOSSIP}. No floor stands against it`,
    calm: true,
  },
];

export const UDP_FORWARD: readonly Measure[] = KINDS.map((kind) => ({
  name: kind.name,
  group: 'udp',
  figures: {
    [kind.name]: kind.words,
    [`${kind.name}_wall`]: 'the same, a second of the clock: other programs on the machine take their part of it',
    ...(kind.calm && {
      cpu_seconds_per_million_packets: `CPU seconds a million datagrams, ${kind.sources} sources at ${CALM_RATE} a second; ${GOSSIP}`,
    }),
  },
  engines: UDP_ENGINES,
  open: (context) => openForward(context, kind),
}));

async function openForward(context: Context, kind: Kind): Promise<Stand> {
  const packet = kind.packet();
  const arms = await openArms(context, packet, UDP_ENGINES);
  const engines = UDP_ENGINES.filter((engine) => arms.has(engine));
  const notes = new Set<string>();
  return {
    round: () => inTurn(engines, (engine) => sample(context, kind, packet, arms.get(engine) as Arm, notes)),
    notes: () => [...notes, ...[...arms.values()].map(({ proxy }) => `${proxy.engine}: \`${oneLine(proxy.setup)}\``)],
    close: () => closeArms(arms),
  };
}

export async function openArms(
  context: Context,
  packet: Packet,
  engines: readonly Engine[],
  echo = false,
): Promise<Map<Engine, Arm>> {
  const arms = new Map<Engine, Arm>();
  try {
    for (const engine of engines.filter((one) => context.engines.includes(one))) {
      const way = wayOf(engine);
      const sink = await startSink(context, way.app, packet, { stripped: !engine.startsWith('nginx'), echo });
      try {
        arms.set(engine, { sink, proxy: await startProxy(engine, way, context) });
      } catch (error) {
        await sink.stop();
        throw error;
      }
    }
  } catch (error) {
    await closeArms(arms);
    throw error;
  }
  return arms;
}

export async function closeArms(arms: ReadonlyMap<Engine, Arm>): Promise<void> {
  await Promise.all([...arms.values()].flatMap(({ proxy, sink }) => [proxy.stop(), sink.stop()]));
}

/** Every engine has addresses of its own: nobody waits for another's port. */
export function wayOf(engine: Engine): Way {
  const number = UDP_ENGINES.indexOf(engine as (typeof UDP_ENGINES)[number]) + 1;
  const host = `127.7.0.${number}`;
  return { listen: `${host}:7946`, app: `${host}:7947`, admin: `127.7.0.${number}:9746` };
}

async function sample(context: Context, kind: Kind, packet: Packet, arm: Arm, notes: Set<string>): Promise<Figures> {
  const { engine } = arm.proxy;
  const full = await flood(context, packet, arm, { sources: kind.sources });
  if (!full.saturated) notes.add(`${engine}: the load was not much faster than it; its figure is a lower bound`);
  const figures: Record<string, number> = {
    [kind.name]: full.packets / full.cpuSeconds,
    [`${kind.name}_wall`]: full.packets / full.seconds,
  };
  if (kind.calm) {
    const calm = await flood(context, packet, arm, { sources: kind.sources, rate: CALM_RATE });
    figures['cpu_seconds_per_million_packets'] = (calm.cpuSeconds / calm.packets) * 1e6;
  }
  return figures;
}

/** Loads one proxy for a while; checks every datagram that arrived, and the fence's own count of them. */
export async function flood(context: Context, packet: Packet, { proxy, sink }: Arm, options: Flood): Promise<Measured> {
  const passed = () => passedBy(proxy);
  const [countsFirst, passedFirst] = [await sink.begin(), await passed()];
  const load = await startLoad(context, packet, proxy.way.listen, options);
  await sleep(options.warmMs ?? WARM_MS);
  if (options.rate === undefined) await untilWarm(sink);
  const before = await reading(context, proxy.program, sink);
  await sleep(context.sampleMs);
  const after = await reading(context, proxy.program, sink);
  await load.stop();
  const { sent } = JSON.parse(await load.line()) as { sent: number };
  const sunk = (counts: Counts) => counts.packets + counts.lost - countsFirst.packets - countsFirst.lost;
  // What the sink's own socket lost, the fence forwarded.
  const agrees = ({ last, passed }: Settled) => Number.isNaN(passed) || passed - passedFirst === sunk(last);
  const settled = await settle(sink, passed, agrees);
  const { last } = settled;
  checkCounts(proxy.engine, countsFirst, last);
  const [arrived, lost] = [last.packets - countsFirst.packets, last.lost - countsFirst.lost];
  if (!agrees(settled)) {
    const counted = settled.passed - passedFirst;
    throw new Error(
      `${proxy.engine}: it counted ${counted} datagrams as passed, the app got ${arrived} and lost ${lost}`,
    );
  }
  if (arrived === 0) throw new Error(`${proxy.engine}: nothing arrived`);
  return {
    packets: after.counts.packets - before.counts.packets + after.counts.lost - before.counts.lost,
    seconds: (after.atMs - before.atMs) / 1_000,
    cpuSeconds: (after.cpuMs - before.cpuMs) / 1_000,
    saturated: sent > sunk(last) * (1 + SATURATED),
  };
}

/** Waits until the app was sent enough since it was started: at once but for the first time. */
async function untilWarm(sink: Sink): Promise<void> {
  const deadlineMs = performance.now() + WARM_MAX_MS;
  for (;;) {
    const { packets, lost } = await sink.counts();
    if (packets + lost >= WARM_PACKETS || performance.now() > deadlineMs) return;
    await sleep(WARM_MS);
  }
}

/** Packets that a fence says it let through, NaN for who counts none. */
function passedBy(proxy: Forwarder): Promise<number> {
  if (proxy.engine !== 'linux' && proxy.engine !== 'portable') return Promise.resolve(Number.NaN);
  return proxy.metric('frames_total', { kind: 'packet', direction: 'inbound', verdict: 'pass' });
}

interface Reading {
  readonly counts: Counts;
  readonly cpuMs: number;
  readonly atMs: number;
}

async function reading(context: Context, program: Program, sink: Sink): Promise<Reading> {
  const counts = await sink.counts();
  return { counts, cpuMs: cpuMs([program.pid]) + softirqMs(context.cores.proxy), atMs: performance.now() };
}

export async function startLoad(
  context: Context,
  packet: Packet,
  target: string,
  { sources, rate = 0, targets = 1, port = 0, batch = 32 }: Flood,
  seconds = 60,
): Promise<Program> {
  const numberAt = packet.labelled.length - packet.body.length + packet.numberAt;
  const packetHex = packet.labelled.toString('hex');
  const what = { source: SOURCE, packet: packetHex, 'seq-at': numberAt };
  const given = { target, sources, rate, ...what, seconds, targets, port, batch };
  const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const load = start(context.programs('udp-load'), args, { core: context.cores.load });
  await load.line();
  return load;
}
