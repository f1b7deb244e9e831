/**
 * The transparent path: the kernel rules of rules.ts bring the gossip port's traffic to the proxy port in the engine's
 * thread, where all of it passes but for connections that need node (node-side.ts). The app is untouched and sees its peers' addresses. Linux, CAP_NET_RAW.
 */
import { createAppHealth } from '../app-health.ts';
import { shareAppSeals } from '../app-seals.ts';
import { type Cut, type DataPath, type FenceContext, StartError } from '../engine.ts';
import type { TransparentOptions } from '../options.ts';
import { appListens } from './app-listener.ts';
import { type BypassWatch, watchBypass } from './bypass.ts';
import { CELL, createCells } from './cells.ts';
import type { LinuxEngine } from './engine.ts';
import type { EngineFence } from './engine-fence.ts';
import { commonStart, createSharedMemory, threadEvents, threadStreams } from './fence-start.ts';
import { hasIpv6 } from './ipv6.ts';
import { interceptHere, type NodeSide, openStreams } from './node-side.ts';

/** How often the kernel's tables are asked whether the app listens, ms: they are read whole, so seldom while it is there. */
const APP_CHECK_MS = 1_000;
const APP_CHECKS_SKIPPED_WHILE_UP = 4;
/** The same while draining: shutting down waits for it. */
const DRAIN_CHECK_MS = 200;

const NO_UID = -1;

/** Makes the path; nothing is opened before `start`. */
export function createTransparentPath(
  context: FenceContext,
  options: TransparentOptions,
  engine: LinuxEngine,
): DataPath {
  const memory = createSharedMemory();
  const cells = createCells(memory.cellsBuffer);
  const health = createAppHealth(context, cells.answer(CELL.appUp));
  shareAppSeals(context, cells.answer(CELL.appSeals));
  let families: readonly (4 | 6)[] = [4];
  let thread: EngineFence | undefined;
  let here: NodeSide | undefined;
  let appTimer: NodeJS.Timeout | undefined;
  let bypass: BypassWatch | undefined;

  let looking: Promise<boolean> | undefined;
  const look = async () => {
    const there = await appListens(options.port, options.uid);
    if (there) health.connected();
    else health.failed(`nothing listens on TCP port ${options.port}`);
    looking = undefined;
    return there;
  };
  const lookForApp = () => {
    looking ??= look();
    return looking;
  };
  let skipped = 0;
  const appTick = () => {
    if (health.up() === true && ++skipped <= APP_CHECKS_SKIPPED_WHILE_UP) return;
    skipped = 0;
    void lookForApp();
  };

  const close = async (): Promise<Cut> => {
    clearInterval(appTimer);
    bypass?.stop();
    const cutHere = here?.stop().cut ?? 0;
    const running = thread;
    thread = undefined;
    const { streams, sessions } = (await running?.stop()) ?? { streams: 0, sessions: 0 };
    return { streams: streams + cutHere, sessions };
  };

  return {
    engine: 'linux',
    async start() {
      refuseStart(options.uid);
      const ipv6 = hasIpv6();
      families = ipv6 ? [4, 6] : [4];
      if (!ipv6)
        context.onFault({ code: 'ipv6_absent', message: 'this network namespace has no IPv6: only IPv4 is fenced' });
      const { worker, proxyPort, port, tcpSource } = options;
      const streams = threadStreams(options.streams);
      try {
        // Datagrams first: an app that could join by a connection already would tell its news, within half a second and never again, to nobody.
        thread = engine.open(
          threadEvents(context, worker, () => void close()),
          {
            ...commonStart(context, worker, memory),
            mode: 'transparent',
            ...{ proxyPort, port, ipv6, tcpSource, streams },
          },
        );
        await thread.ready();
        if (streams === undefined) here = await interceptHere(context, { ...options, ipv6 }, health);
      } catch (error) {
        await close();
        throw error;
      }
      appTimer = setInterval(appTick, APP_CHECK_MS);
      bypass = watchBypass();
      void lookForApp();
    },
    counts() {
      const { inbound, outbound } = openStreams(here, cells);
      const waitingFrames = context.doubts.waiting() + cells.get(CELL.waiting);
      return { sessions: 0, streamsInbound: inbound, streamsOutbound: outbound, sessionEvictions: 0, waitingFrames };
    },
    appUp: () => health.up(),
    bypassDropped: () => bypass?.dropped(),
    floodGuard: () => cells.get(CELL.floodGuard) === 1,
    async notReady() {
      if (thread === undefined) return ['the sockets are not open'];
      const [problems, there] = await Promise.all([thread.selfTest(families), lookForApp()]);
      const why = [...problems].map(
        ([family, problem]) =>
          `the kernel rules for IPv${family} are not in place: ${problem} (\`ringfence intercept\` installs them)`,
      );
      if (!there) why.push(await whyNoApp(options));
      return why;
    },
    rulesChanged: () => thread?.takeRules(options.worker.rules()) ?? Promise.resolve(),
    answered(address) {
      context.doubts.answered(address);
      thread?.answered(address);
    },
    insideChanged: () => thread?.takeInside(options.worker.inside()),
    tallies: () => [memory.tallyBuffer],
    async drain(graceMs) {
      const end = performance.now() + graceMs;
      while (thread !== undefined && (await appListens(options.port, options.uid))) {
        const left = end - performance.now();
        if (left <= 0) return;
        await new Promise((resolve) => setTimeout(resolve, Math.min(left, DRAIN_CHECK_MS)));
      }
    },
    stop: close,
  };
}

async function whyNoApp({ port, uid }: TransparentOptions): Promise<string> {
  if (!(await appListens(port, NO_UID))) return `the app does not listen on TCP port ${port}`;
  return `what listens on TCP port ${port} has the fence's own uid ${uid}, which the rules let through: run the app under another`;
}

function refuseStart(uid: number): void {
  if (process.platform !== 'linux') throw new StartError('not_linux', 'the transparent path needs Linux');
  const own = process.getuid?.();
  if (own !== uid) {
    const why = `the rules let the traffic of uid ${uid} through and this process has uid ${own}: it would be caught in its own rules`;
    throw new StartError('wrong_uid', `run as uid ${uid}: ${why}`);
  }
}
