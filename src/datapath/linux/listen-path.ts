/**
 * The listen path over the Linux engine: datagrams and connections pass in the engine's thread (fence-sockets.ts). Unprivileged, as the
 * portable path is, and bound and refused alike. Connections that need node (TLS that ends here, Alertmanager's) are taken in this thread.
 */
import { formatEndpoint } from '../../wire/address.ts';
import { createAppHealth } from '../app-health.ts';
import { shareAppSeals } from '../app-seals.ts';
import { type AppWatch, waitForAppToLeave, watchApp } from '../app-watch.ts';
import type { Cut, DataPath, Endpoint, FenceContext, StreamSettings } from '../engine.ts';
import type { ListenOptions, WorkerOptions } from '../options.ts';
import { CELL, createCells } from './cells.ts';
import type { LinuxEngine } from './engine.ts';
import type { EngineFence } from './engine-fence.ts';
import { commonStart, createSharedMemory, threadEvents, threadStreams } from './fence-start.ts';
import { listenHere, type NodeSide, openStreams } from './node-side.ts';

export interface EngineListenOptions extends ListenOptions {
  readonly worker: WorkerOptions;
}

/** Makes the path; nothing is opened before `start`. */
export function createEngineListenPath(
  context: FenceContext,
  options: EngineListenOptions,
  engine: LinuxEngine,
): DataPath {
  const { app, listen, worker } = options;
  const memory = createSharedMemory();
  const cells = createCells(memory.cellsBuffer);
  const health = createAppHealth(context, cells.answer(CELL.appUp));
  shareAppSeals(context, cells.answer(CELL.appSeals));
  /** The fence there as soon as it was asked to open: it is told at once what changes meanwhile, because nobody would tell it again. */
  let thread: EngineFence | undefined;
  /** Undefined where the thread has the streams. */
  let here: NodeSide | undefined;
  let open = false;
  let watch: AppWatch | undefined;
  let stopped = false;

  const closeHere = () => {
    watch?.stop();
    return here?.stop();
  };
  const openThread = async (at: Endpoint, streams: StreamSettings | undefined): Promise<EngineFence> => {
    const fence = engine.open(threadEvents(context, worker, closeHere), {
      ...commonStart(context, worker, memory),
      ...{ mode: 'listen', listen: at, app, limits: options.streams.limits, streams },
    });
    thread = fence;
    try {
      await fence.ready();
      return fence;
    } catch (error) {
      thread = undefined;
      await fence.stop();
      throw error;
    }
  };

  return {
    engine: 'linux',
    async start() {
      const streams = threadStreams(options.streams);
      if (streams === undefined) here = await listenHere(context, options, health, (at) => openThread(at, undefined));
      else await openThread(listen, streams);
      open = true;
      watch = watchApp(app, health);
    },
    counts() {
      const { inbound, outbound } = openStreams(here, cells);
      return {
        sessions: cells.get(CELL.sessions),
        sessionEvictions: cells.get(CELL.sessionEvictions),
        streamsInbound: inbound,
        streamsOutbound: outbound,
        waitingFrames: context.doubts.waiting() + cells.get(CELL.waiting),
      };
    },
    appUp: () => health.up(),
    floodGuard: () => cells.get(CELL.floodGuard) === 1,
    async notReady() {
      const reasons: string[] = [];
      if (!open || stopped) reasons.push(`the sockets on ${formatEndpoint(listen)} are not open`);
      if (health.up() !== true) reasons.push(`the app at ${formatEndpoint(app)} is not reachable`);
      return reasons;
    },
    rulesChanged: () => thread?.takeRules(worker.rules()) ?? Promise.resolve(),
    answered(address) {
      context.doubts.answered(address);
      thread?.answered(address);
    },
    insideChanged: () => thread?.takeInside(worker.inside()),
    tallies: () => [memory.tallyBuffer],
    drain: (graceMs) => waitForAppToLeave(app, graceMs, () => stopped),
    async stop(): Promise<Cut> {
      if (stopped) return { streams: 0, sessions: 0 };
      stopped = true;
      const ended = closeHere();
      const [there] = await Promise.all([thread?.stop(), ended?.closed]);
      return { streams: (ended?.cut ?? 0) + (there?.streams ?? 0), sessions: there?.sessions ?? 0 };
    },
  };
}
