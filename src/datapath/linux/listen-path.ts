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

interface Opened {
  readonly thread: EngineFence;
  /** Undefined where the thread has the streams. */
  readonly here: NodeSide | undefined;
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
  let opened: Opened | undefined;
  let watch: AppWatch | undefined;
  let stopped = false;

  const closeHere = () => {
    watch?.stop();
    return opened?.here?.stop();
  };
  const openThread = async (at: Endpoint, streams: StreamSettings | undefined): Promise<EngineFence> => {
    const fence = engine.open(threadEvents(context, worker, closeHere), {
      ...commonStart(context, worker, memory),
      ...{ mode: 'listen', listen: at, app, limits: options.streams.limits, streams },
    });
    await fence.ready();
    return fence;
  };

  return {
    engine: 'linux',
    async start() {
      const streams = threadStreams(options.streams);
      opened =
        streams === undefined
          ? await listenHere(context, options, health, (at) => openThread(at, undefined))
          : { thread: await openThread(listen, streams), here: undefined };
      watch = watchApp(app, health);
    },
    counts() {
      const { inbound, outbound } = openStreams(opened?.here, cells);
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
      if (opened === undefined || stopped) reasons.push(`the sockets on ${formatEndpoint(listen)} are not open`);
      if (health.up() !== true) reasons.push(`the app at ${formatEndpoint(app)} is not reachable`);
      return reasons;
    },
    rulesChanged: () => opened?.thread.takeRules(worker.rules()) ?? Promise.resolve(),
    answered(address) {
      context.doubts.answered(address);
      opened?.thread.answered(address);
    },
    insideChanged: () => opened?.thread.takeInside(worker.inside()),
    tallies: () => [memory.tallyBuffer],
    drain: (graceMs) => waitForAppToLeave(app, graceMs, () => stopped),
    async stop(): Promise<Cut> {
      if (stopped) return { streams: 0, sessions: 0 };
      stopped = true;
      const here = closeHere();
      const [there] = await Promise.all([opened?.thread.stop(), here?.closed]);
      return { streams: (here?.cut ?? 0) + (there?.streams ?? 0), sessions: there?.sessions ?? 0 };
    },
  };
}
