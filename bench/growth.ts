/**
 * What a datagram costs as the ring grows, and as one process takes more fences: at a steady rate, the same for every size, far below
 * what the proxies can do, because batches that fill would flatter the smallest size. A process for each size.
 *
 * Fences have a socket each, so that a batch of one is never another's. Where the floor stands, at CALM_RATE, there are hardly any: the cost is
 * that of a datagram that comes alone. At RATE one fence finds eight at once and a hundred still one each, which is shown beside it.
 */
import { type Forwarder, startProxy, type Way } from './engines.ts';
import type { Context, Engine, Figures, Measure, Stand } from './measure.ts';
import { inTurn, shortfall } from './measure.ts';
import { gossipPacket, LABEL } from './packets.ts';
import { type Arm, closeArms, flood } from './udp-forward.ts';
import { startSink } from './udp-sink.ts';

/** Datagrams a second, whatever the size. */
const RATE = 20_000;
const CALM_RATE = 5_000;
/** How often every peer is heard before the measured time, the last of 10,000 too, and how long that takes at least, ms. */
const WARM_TIMES = 4;
const WARM_MIN_MS = 1_000;
/** The same for a process that is new: V8 compiles what runs for so long, with a hundred fences for the third part of a core of the cost. */
const NEW_WARM_MS = 6_000;
const ROUNDS_MAX = 3;
/** The part of what is sent that must come: who has no room for some peers is not asked what the others cost. */
const CAME_MIN = 0.9;
/** Every peer's, so that one load after the other comes from the same peers. */
const PEER_PORT = 7946;
/**
 * From so many peers on a process lives for one sample: each peer has a session, whose port and place in the kernel's tables are the whole
 * network namespace's, so that the proxies that rest would cost the one that is measured.
 */
const MANY_PEERS = 10_000;
const PEERS = [1, 10, 100, 1_000, 10_000] as const;
const FENCES = [1, 10, 100] as const;
/** Sessions that there is room for. */
const SESSIONS_MAX = 12_000;
/** Peers in all, of as many fences as there are. */
const PEERS_OF_FENCES = 100;
const US = 1e6;

interface Kind {
  readonly name: 'growth_peers' | 'growth_fences' | 'growth_fences_busy';
  readonly rate: number;
  readonly sizes: readonly number[];
  readonly what: string;
  readonly engines: readonly Engine[];
  open(context: Context, engine: Engine, size: number): Promise<Arm>;
  readonly load: (size: number) => { readonly sources: number; readonly targets: number };
  /** For RESULTS.md. */
  readonly notes: readonly string[];
}

const OF_FENCES: Omit<Kind, 'name' | 'rate'> = {
  sizes: FENCES,
  what: `fences in one process, ${PEERS_OF_FENCES} peers in all`,
  engines: ['linux', 'portable'],
  open: openFences,
  load: (targets) => ({ sources: PEERS_OF_FENCES, targets }),
  notes: [
    `the floor stands at ${CALM_RATE} a second, \`growth_fences\`, where a datagram mostly comes alone, to one fence as to a hundred. At ${RATE} a second, \`growth_fences_busy\`, ` +
      'one fence finds some eight at each look and a hundred find one each: what they do not share there costs them more, and no floor stands against it',
  ],
};

const KINDS: readonly Kind[] = [
  {
    name: 'growth_peers',
    rate: RATE,
    sizes: PEERS,
    what: 'peers, one fence',
    engines: ['linux', 'portable', 'nginx', 'c'],
    open: openPeers,
    load: (sources) => ({ sources, targets: 1 }),
    notes: [],
  },
  { name: 'growth_fences', rate: CALM_RATE, ...OF_FENCES },
  { name: 'growth_fences_busy', rate: RATE, ...OF_FENCES },
];

export const GROWTH: readonly Measure[] = KINDS.map((kind) => ({
  name: kind.name,
  group: 'growth',
  figures: Object.fromEntries(
    kind.sizes.map((size) => [
      keyOf(kind, size),
      `µs of a core a datagram (CPU seconds a million), ${kind.rate} a second, ${size} ${kind.what}`,
    ]),
  ),
  engines: kind.engines,
  rounds: ({ rounds }) => Math.min(rounds, ROUNDS_MAX),
  fullOnly: true,
  open: (context) => openGrowth(context, kind),
}));

function keyOf(kind: Kind, size: number): string {
  return `${kind.name}_${size}`;
}

async function openGrowth(context: Context, kind: Kind): Promise<Stand> {
  const kept = new Map<string, Arm>();
  const engines = kind.engines.filter((engine) => context.engines.includes(engine));
  const sample = async (engine: Engine, size: number): Promise<number> => {
    const key = `${engine} ${size}`;
    const known = kept.get(key);
    const arm = known ?? (await kind.open(context, engine, size));
    if (kind.load(size).sources < MANY_PEERS) kept.set(key, arm);
    try {
      return await cost(context, kind, arm, size, known === undefined);
    } finally {
      if (!kept.has(key)) await closeArms(new Map([[engine, arm]]));
    }
  };
  return {
    round: () =>
      inTurn(engines, async (engine) => {
        const figures: Record<string, number> = {};
        for (const size of kind.sizes) figures[keyOf(kind, size)] = await sample(engine, size);
        return figures satisfies Figures;
      }),
    notes: () => kind.notes,
    async close() {
      for (const arm of kept.values()) await closeArms(new Map([[arm.proxy.engine, arm]]));
    },
  };
}

/** µs of a core a datagram. `isNew`: what is compiled as it runs is to be compiled first, so it is loaded as fast as the load can, and then for longer. */
async function cost(context: Context, kind: Kind, arm: Arm, size: number, isNew: boolean): Promise<number> {
  const packet = gossipPacket();
  const load = { ...kind.load(size), port: PEER_PORT };
  if (isNew) await flood(context, packet, arm, load);
  // By one call each, however many sources: how they are sent must not differ between sizes.
  const warmMs = Math.max(isNew ? NEW_WARM_MS : WARM_MIN_MS, (load.sources * WARM_TIMES * 1_000) / kind.rate);
  const { cpuSeconds, packets, seconds } = await flood(context, packet, arm, {
    ...load,
    rate: kind.rate,
    batch: 1,
    warmMs,
  });
  if (packets < kind.rate * seconds * CAME_MIN) {
    const came = (packets / seconds).toFixed(0);
    throw shortfall(arm.proxy.engine, `of ${kind.rate} a second from ${size} ${came} came`);
  }
  const { sources } = await arm.sink.counts();
  if (sources < load.sources) {
    throw new Error(`${arm.proxy.engine}: of ${load.sources} sources the app saw ${sources}`);
  }
  return (cpuSeconds / packets) * US;
}

async function openPeers(context: Context, engine: Engine, size: number): Promise<Arm> {
  const host = `127.12.${KINDS[0]?.engines.indexOf(engine) ?? 0}.${(PEERS as readonly number[]).indexOf(size) + 1}`;
  const way: Way = { listen: `${host}:7946`, app: `${host}:7947`, admin: `${host}:9746`, peers: SESSIONS_MAX };
  const { fences } = fencesOf(engine, [way]);
  return openArm(context, engine, way, way.app, { fences });
}

/** One app behind all of them. */
async function openFences(context: Context, engine: Engine, count: number): Promise<Arm> {
  const net = `127.13.${(engine === 'linux' ? 0 : 1) * FENCES.length + (FENCES as readonly number[]).indexOf(count)}`;
  const port = 17_947 + (engine === 'linux' ? 0 : 1) * FENCES.length + (FENCES as readonly number[]).indexOf(count);
  const ways = Array.from({ length: count }, (_, i) => ({
    listen: `${net}.${i + 1}:7946`,
    app: `${net}.${i + 1}:${port}`,
    admin: `${net}.1:9746`,
  }));
  const [first] = ways;
  if (first === undefined) throw new Error('no fence');
  return openArm(context, engine, first, `0.0.0.0:${port}`, fencesOf(engine, ways));
}

async function openArm(context: Context, engine: Engine, way: Way, app: string, config: object): Promise<Arm> {
  const sink = await startSink(context, app, gossipPacket(), { stripped: engine !== 'nginx' });
  try {
    const proxy: Forwarder = await startProxy(engine, way, context, config);
    return { sink, proxy };
  } catch (error) {
    await sink.stop();
    throw error;
  }
}

/** Fences that may hold a session for each peer of the largest size. */
function fencesOf(engine: Engine, ways: readonly Way[]): { readonly fences: readonly object[] } {
  const fence = (way: Way, i: number) => ({
    name: `bench-${i + 1}`,
    cluster: LABEL,
    stage: 'accept',
    engine,
    listen: way.listen,
    app: { address: way.app },
    admit: { cidrs: ['127.0.0.0/8'] },
    ...(ways.length === 1 && { limits: { sessions: SESSIONS_MAX }, memory: { peers: 20_000 } }),
  });
  return { fences: ways.map(fence) };
}
