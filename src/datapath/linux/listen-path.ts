/**
 * The listen path over the Linux engine: the datagrams pass in the engine's thread (listen-packets.ts), connections here. Unprivileged, as the
 * portable path is, and bound and refused alike.
 */
import { connect, type Server, type Socket } from 'node:net';
import { formatEndpoint } from '../../wire/address.ts';
import { createAppHealth } from '../app-health.ts';
import { type AppWatch, waitForAppToLeave, watchApp } from '../app-watch.ts';
import { bindStreamsAnd } from '../bind.ts';
import { endpointOf } from '../endpoint.ts';
import type { Cut, DataPath, Endpoint, FenceContext } from '../engine.ts';
import { createNodeStreams } from '../node-streams.ts';
import type { ListenOptions, WorkerOptions } from '../options.ts';
import { CELL, createCells } from './cells.ts';
import type { LinuxEngine } from './engine.ts';
import type { EngineFence } from './engine-fence.ts';
import { commonStart, createSharedMemory, threadEvents } from './fence-start.ts';

export interface EngineListenOptions extends ListenOptions {
  readonly worker: WorkerOptions;
}

/** Faults of the listening socket are reported at most this often, ms: without descriptors every accept fails. */
const FAULT_INTERVAL_MS = 1_000;

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
  const streams = createNodeStreams(context, options.streams, health);
  let thread: EngineFence | undefined;
  let tcp: Server | undefined;
  let watch: AppWatch | undefined;
  let stopped = false;
  let faultAtMs = Number.NEGATIVE_INFINITY;

  const accept = (socket: Socket) => {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || stopped) {
      // Gone before it could be looked at.
      socket.destroy();
      return;
    }
    const dial = () => connect({ host: app.address, port: app.port, allowHalfOpen: true });
    streams.accept(socket, { direction: 'inbound', peer: endpointOf(remoteAddress, remotePort), dial });
  };
  const acceptFailed = (error: Error) => {
    const nowMs = context.now();
    if (nowMs - faultAtMs < FAULT_INTERVAL_MS) return;
    faultAtMs = nowMs;
    context.onFault({ code: 'accept_failed', message: `${formatEndpoint(listen)}: ${error.message}` });
  };
  const closeHere = (): { readonly streams: number; readonly closed: Promise<void> } => {
    watch?.stop();
    const server = tcp;
    tcp = undefined;
    // Its callback waits for every connection, and those are reset next.
    const closed = new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
    });
    return { streams: streams.stop(), closed };
  };
  const openPackets = async (at: Endpoint): Promise<EngineFence> => {
    const { limits } = options.streams;
    const opened = engine.open(threadEvents(context, worker, closeHere), {
      ...commonStart(context, worker, memory),
      ...{ mode: 'listen', listen: at, app, limits },
    });
    await opened.ready();
    return opened;
  };

  return {
    engine: 'linux',
    async start() {
      const bound = await bindStreamsAnd(listen, openPackets);
      thread = bound.packets;
      tcp = bound.tcp;
      tcp.on('connection', accept);
      tcp.on('error', acceptFailed);
      watch = watchApp(app, health);
    },
    counts() {
      const { inbound, outbound } = streams.counts();
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
      if (thread === undefined) reasons.push(`the sockets on ${formatEndpoint(listen)} are not open`);
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
      const running = thread;
      thread = undefined;
      const here = closeHere();
      const [there] = await Promise.all([running?.stop(), here.closed]);
      return { streams: here.streams + (there?.streams ?? 0), sessions: there?.sessions ?? 0 };
    },
  };
}
