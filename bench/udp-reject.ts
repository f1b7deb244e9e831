/** Foreign datagrams: how many a second a fence rejects, and what a flood of 60,000 a second costs it once its guard is up. */

import type { Forwarder } from './engines.ts';
import { type Context, type Figures, inTurn, type Measure } from './measure.ts';
import { FOREIGN_LABEL, gossipPacket } from './packets.ts';
import { cpuMs, sleep, softirqMs } from './processes.ts';
import { closeArms, openArms, startLoad } from './udp-forward.ts';
import type { Sink } from './udp-sink.ts';

const ENGINES = ['linux', 'portable'] as const;
const FLOOD_RATE = 60_000;
/** How long a flood may take to be noticed and met. */
const GUARD_MS = 2_000;
/** A fence reads the drops of a full socket every five seconds. */
const COUNTED_MS = 7_000;
const POLL_MS = 200;
/** How far the fence's count may stay behind the load's. */
const TOLERANCE = 0.01;
/** How far the load may stay behind its rate. */
const RATE_TOLERANCE = 0.1;
/** It takes long: every flood waits for the guard, and for all of it to be counted. */
const ROUNDS_MAX = 3;
/** Every flood comes from as many addresses, as a ring that was merged by accident would. */
const SOURCES = 16;

export const UDP_REJECT: Measure = {
  name: 'udp_reject',
  group: 'udp',
  figures: {
    udp_reject:
      'foreign datagrams of 200 B that were refused in a second of the clock under all that the load can send (the most that was seen, not a limit)',
    udp_reject_cpu: `part of a core that a flood of ${FLOOD_RATE.toLocaleString('en-US')} foreign datagrams a second costs, from ${GUARD_MS / 1_000} s after its begin`,
  },
  engines: ENGINES,
  rounds: ({ rounds, short }) => (short ? 1 : Math.min(rounds, ROUNDS_MAX)),
  async open(context) {
    const foreign = gossipPacket(FOREIGN_LABEL);
    const arms = await openArms(context, gossipPacket(), ENGINES);
    return {
      round: () =>
        inTurn([...arms.keys()], async (engine) => {
          const arm = arms.get(engine);
          if (arm === undefined) throw new Error(`no ${engine}`);
          const flat = await flood(context, foreign, arm.proxy, arm.sink, 0);
          const calm = await flood(context, foreign, arm.proxy, arm.sink, FLOOD_RATE);
          return { udp_reject: flat.perSecond, udp_reject_cpu: calm.cpuPart } satisfies Figures;
        }),
      notes: () => [
        'nothing of a flood reached the app, and every datagram was counted, as rejected or as dropped in the kernel',
      ],
      close: () => closeArms(arms),
    };
  },
};

async function flood(
  context: Context,
  foreign: ReturnType<typeof gossipPacket>,
  proxy: Forwarder,
  sink: Sink,
  rate: number,
): Promise<{ perSecond: number; cpuPart: number }> {
  const [arrivedFirst, refusedFirst] = [(await sink.counts()).packets, await refusedBy(proxy)];
  const cpu = () => cpuMs([proxy.program.pid]) + softirqMs(context.cores.proxy);
  const load = await startLoad(context, foreign, proxy.way.listen, { sources: SOURCES, rate });
  const beginMs = performance.now();
  await sleep(GUARD_MS);
  const [fromMs, cpuFrom] = [performance.now(), cpu()];
  await sleep(context.sampleMs);
  const cpuPart = (cpu() - cpuFrom) / (performance.now() - fromMs);
  await load.stop();
  const seconds = (performance.now() - beginMs) / 1_000;
  const { sent } = JSON.parse(await load.line()) as { sent: number };
  // A load that could not keep up would flatter the fence.
  if (sent < rate * seconds * (1 - RATE_TOLERANCE)) {
    throw new Error(`${proxy.engine}: the load sent ${Math.round(sent / seconds)} a second, not ${rate}`);
  }
  // Every one is accounted for: judged, dropped by the filter, or lost in a full socket, which the fence counts too.
  const refused = await accountedFor(proxy, refusedFirst, sent);
  const arrived = (await sink.counts()).packets - arrivedFirst;
  if (arrived > 0) throw new Error(`${proxy.engine}: ${arrived} foreign datagrams reached the app`);
  return { perSecond: refused / seconds, cpuPart };
}

/**
 * Waits until the fence accounts for as many datagrams more than at `first` as were sent: all of them, so that none is left for the next
 * flood's count. What never comes may be lost where nobody counts (the kernel's queue of a core), a hundredth at most.
 */
async function accountedFor(proxy: Forwarder, first: number, sent: number): Promise<number> {
  const deadlineMs = performance.now() + COUNTED_MS;
  for (;;) {
    const refused = (await refusedBy(proxy)) - first;
    if (refused === sent) return refused;
    if (refused > sent) throw new Error(`${proxy.engine}: ${sent} were sent, ${refused} accounted for`);
    if (performance.now() > deadlineMs) {
      if (refused >= sent * (1 - TOLERANCE)) return refused;
      throw new Error(`${proxy.engine}: ${sent} were sent, ${refused} accounted for`);
    }
    await sleep(POLL_MS);
  }
}

/** What the fence says it refused, by whatever way. */
async function refusedBy(proxy: Forwarder): Promise<number> {
  const rejected = await proxy.metric('frames_total', { kind: 'packet', direction: 'inbound', verdict: 'reject' });
  return rejected + (await proxy.metric('overload_dropped_total'));
}
