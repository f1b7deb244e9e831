/** Round trips through every proxy and to the app itself, in turn within one program: what a proxy adds to a probe and its answer. */
import { type Context, type Engine, type Figures, type Measure, type Round, shortfall } from './measure.ts';
import { gossipPacket, SOURCE } from './packets.ts';
import { runToEnd, sleep } from './processes.ts';
import { closeArms, openArms, startLoad } from './udp-forward.ts';

const ENGINES = ['linux', 'portable', 'nginx', 'c', 'go'] as const satisfies readonly Engine[];
/** Trips a second, a datagram each way. */
const RATE = 500;
/**
 * Trips through one way before the next: what a proxy does after a trip (a fence learns from it, V8 collects) delays its own next trips, and nobody
 * else's. Long enough that the first ones, which find everything cold, are less than the hundredth part that the percentile leaves out.
 */
const STAY = 250;
/** How often every way has its turn in a round. */
const TURNS = 8;
const TURNS_SHORT = 4;
const turnsOf = ({ short }: Context) => (short ? TURNS_SHORT : TURNS);
/** Between turns, as bench/native/udp-rtt.c has it. */
const PAUSE_S = 0.05;
/** Every proxy carries so many datagrams a second for a while first, as one has that runs for longer. */
const WARM_RATE = 20_000;
const WARM_MS = 4_000;
/** More lost trips than this part of them: something is broken. */
const LOST_MAX = 0.01;

interface Trips {
  readonly n: number;
  readonly lost: number;
  readonly p50: number;
  readonly p99: number;
}

export const UDP_RTT: Measure = {
  name: 'udp_rtt',
  group: 'udp',
  figures: {
    udp_rtt_p50_us:
      'µs added to a round trip to the app (which answers at once), median of a round less that of the direct way',
    udp_rtt_p99_us: 'the same of the 99th percentiles',
  },
  engines: ENGINES,
  async open(context) {
    const packet = gossipPacket();
    const arms = await openArms(context, packet, ENGINES, true);
    const [first] = arms.values();
    if (first === undefined) throw new Error('nobody to measure');
    for (const { proxy } of arms.values()) {
      const load = await startLoad(context, packet, proxy.way.listen, { sources: 1, rate: WARM_RATE });
      await sleep(WARM_MS);
      await load.stop();
    }
    return {
      async round() {
        const targets = [...arms].map(
          ([engine, { proxy }]) => `${engine}=${proxy.way.listen}${proxy.strips ? '' : '/bare'}`,
        );
        const trips = await measure(context, packet, [`direct=${first.proxy.way.app}/bare`, ...targets]);
        return added(trips, turnsOf(context) * STAY);
      },
      notes: () => [
        `${RATE} trips a second, ${STAY} through one way, then ${PAUSE_S * 1_000} ms of none, then the next, in an order that changes; ${turnsOf(context)} such turns of each in a round, ` +
          'however long that takes. What came back was compared, byte for byte',
        'the first trips of a turn find everything cold: they are fewer than the hundredth part above the percentile. What a proxy does after its trips delays its own, and not those of others on its core',
        'nginx with sessions kept: with proxy_responses 0 answers may be lost',
      ],
      close: () => closeArms(arms),
    };
  },
};

async function measure(
  context: Context,
  { labelled, body, numberAt }: ReturnType<typeof gossipPacket>,
  targets: readonly string[],
): Promise<Readonly<Record<string, Trips>>> {
  const turns = turnsOf(context);
  const options = { source: SOURCE, rate: RATE, turns, stay: STAY, 'seq-at': numberAt };
  const bytes = { packet: labelled.toString('hex'), body: body.toString('hex') };
  const args = Object.entries({ ...options, ...bytes }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const seconds = targets.length * turns * (STAY / RATE + PAUSE_S);
  const line = await runToEnd(context.programs('udp-rtt'), [...args, '--targets', ...targets], {
    core: context.cores.load,
    timeoutMs: seconds * 1_000 + 20_000,
  });
  return JSON.parse(line) as Record<string, Trips>;
}

/** `each`: trips through every way. */
function added(trips: Readonly<Record<string, Trips>>, each: number): Round {
  const { direct } = trips;
  if (direct === undefined) throw new Error('no direct trips');
  const round: Partial<Record<Engine, Figures>> = {};
  for (const engine of ENGINES) {
    const own = trips[engine];
    if (own === undefined) continue;
    if (own.n + own.lost !== each) throw new Error(`${engine}: ${own.n + own.lost} trips, not ${each}`);
    if (own.lost > each * LOST_MAX) throw shortfall(engine, `${own.lost} of ${each} trips were lost`);
    round[engine] = { udp_rtt_p50_us: own.p50 - direct.p50, udp_rtt_p99_us: own.p99 - direct.p99 };
  }
  return round;
}
