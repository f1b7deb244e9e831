/** What the engine's thread opens of a fence: its packets and, where the thread carries them, its streams. */
import { createAppHealth } from '../app-health.ts';
import { codeOf, PORT_TRIES_MAX } from '../bind-error.ts';
import type { Cut, Endpoint, StreamSettings } from '../engine.ts';
import { listenStreams } from './accept-loop.ts';
import { CELL } from './cells.ts';
import { type ListenPackets, openListenPackets } from './listen-packets.ts';
import { openInterceptedStreams, openListenStreams, type RawStreams, type RawStreamsOptions } from './raw-streams.ts';
import { openTransparentPackets } from './transparent-packets.ts';
import type { WorkerFence } from './worker-fence.ts';
import type { FenceStart, ListenStart, TransparentStart } from './worker-protocol.ts';

export interface FenceSockets {
  /** The one that was really bound. */
  readonly port: number;
  selfTest?(nonce: Uint8Array): void;
  /** Brings the cells up to date. */
  publish(): void;
  /** Closes it all, and says what that cut. */
  stop(): Cut;
}

/** Opens the sockets of a fence. Throws a StartError or a SystemError; then nothing stays open. */
export function openSockets(fence: WorkerFence): FenceSockets {
  return isListen(fence) ? openListen(fence) : openTransparent(fence as WorkerFence<TransparentStart>);
}

function isListen(fence: WorkerFence): fence is WorkerFence<ListenStart> {
  return fence.start.mode === 'listen';
}

function openTransparent(fence: WorkerFence<TransparentStart>): FenceSockets {
  const { start } = fence;
  // Datagrams first: an app that could join by a connection already would tell its news, within half a second and never again, to nobody.
  const packets = openTransparentPackets(fence);
  let streams: RawStreams | undefined;
  try {
    if (start.streams !== undefined) streams = openInterceptedStreams(streamsOptions(fence, start.streams), start);
  } catch (error) {
    packets.stop();
    throw error;
  }
  return {
    port: start.proxyPort,
    selfTest: packets.selfTest,
    publish: () => publishStreams(fence, streams),
    stop() {
      packets.stop();
      return { streams: streams?.stop() ?? 0, sessions: 0 };
    },
  };
}

function openListen(fence: WorkerFence<ListenStart>): FenceSockets {
  const { start, cells, flood } = fence;
  const { packets, streams } = start.streams === undefined ? openPacketsAlone(fence) : openBoth(fence, start.streams);
  flood.watch([packets.fd]);
  return {
    port: packets.at.port,
    publish() {
      cells.set(CELL.sessions, packets.sessions());
      cells.set(CELL.sessionEvictions, packets.sessionEvictions());
      publishStreams(fence, streams);
    },
    stop() {
      flood.stop();
      return { streams: streams?.stop() ?? 0, sessions: packets.stop() };
    },
  };
}

interface ListenOpened {
  readonly packets: ListenPackets;
  readonly streams: RawStreams | undefined;
}

function openPacketsAlone(fence: WorkerFence<ListenStart>): ListenOpened {
  return { packets: openPackets(fence, fence.start.listen), streams: undefined };
}

/** Both on one port; with port 0 the kernel's choice for TCP, another one where that is taken on UDP. */
function openBoth(fence: WorkerFence<ListenStart>, settings: StreamSettings): ListenOpened {
  const { listen, app } = fence.start;
  const { calls } = fence.thread;
  for (let tries = 1; ; tries++) {
    const { fd, at } = listenStreams(calls, listen);
    let packets: ListenPackets | undefined;
    try {
      packets = openPackets(fence, at);
    } catch (error) {
      calls.close(fd);
      const chosenForUs = listen.port === 0 && codeOf(error) === 'EADDRINUSE';
      if (!chosenForUs || tries === PORT_TRIES_MAX) throw error;
      continue;
    }
    try {
      return { packets, streams: openListenStreams(streamsOptions(fence, settings), { fd, app }) };
    } catch (error) {
      packets.stop();
      throw error;
    }
  }
}

function openPackets({ thread, start, context }: WorkerFence<ListenStart>, listen: Endpoint): ListenPackets {
  const { calls, loop, batches } = thread;
  return openListenPackets({ context, calls, loop, batches, listen, app: start.app, limits: start.limits });
}

function streamsOptions(
  { thread, context, cells }: WorkerFence<FenceStart>,
  settings: StreamSettings,
): RawStreamsOptions {
  return { io: thread.io, context, settings, health: createAppHealth(context, cells.answer(CELL.appUp)) };
}

function publishStreams({ cells }: WorkerFence<FenceStart>, streams: RawStreams | undefined): void {
  if (streams === undefined) return;
  const { inbound, outbound } = streams.counts();
  cells.set(CELL.streamsInbound, inbound);
  cells.set(CELL.streamsOutbound, outbound);
}
