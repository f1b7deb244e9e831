/** The streams of one fence in the engine's loop: accepted, judged and relayed by the same code as everywhere (streams.ts), over raw sockets. */
import type { AppHealth } from '../app-health.ts';
import type { Endpoint, FenceContext, StreamSettings } from '../engine.ts';
import type { TcpSource } from '../options.ts';
import { createStreams, type Streams } from '../streams.ts';
import { createTokenBucket } from '../token-bucket.ts';
import { type AcceptLoop, type AcceptOptions, acceptStreams } from './accept-loop.ts';
import { createInterceptedStreams } from './intercepted-streams.ts';
import { createPeerBinder } from './peer-bind.ts';
import { openStreamSocket } from './proxy-sockets.ts';
import { rawDialler, rawDiallers } from './raw-dial.ts';
import type { RawIo } from './raw-io.ts';
import type { RawSocket } from './raw-socket.ts';

/** Faults of listeners that are reported: a few at once, then one a second. */
const FAULT_BURST = 1;
const FAULTS_PER_SECOND = 1;

export interface RawStreamsOptions {
  readonly io: RawIo;
  readonly context: FenceContext;
  readonly settings: StreamSettings;
  /** Shared with whoever else dials the app. */
  readonly health: AppHealth;
}

export interface RawStreams extends Pick<Streams, 'counts' | 'appUp'> {
  /** Closes the listeners and resets every open stream; returns how many there were. */
  stop(): number;
}

export interface ListenMode {
  /** A socket that listens (accept-loop.ts listenStreams); owned from here on. */
  readonly fd: number;
  readonly app: Endpoint;
}

/** Streams of peers, to `app`. Throws a SystemError; then the socket is closed. */
export function openListenStreams(options: RawStreamsOptions, { fd, app }: ListenMode): RawStreams {
  const { io, context } = options;
  const streams = streamsOf(options);
  const dial = rawDialler(io, app);
  const loop = acceptStreams(io, fd, {
    destinations: false,
    awaitBytes: true,
    onStream: (socket, peer) => streams.accept(socket, { direction: 'inbound', peer, dial }),
    onFault: faultsOf(context),
  });
  return opened(streams, [loop]);
}

export interface InterceptMode {
  readonly proxyPort: number;
  readonly ipv6: boolean;
  readonly tcpSource: TcpSource;
}

/** Intercepted streams, both ways. Needs CAP_NET_RAW in this thread. Throws a StartError or a SystemError; then nothing stays open. */
export function openInterceptedStreams(options: RawStreamsOptions, mode: InterceptMode): RawStreams {
  const { io, context } = options;
  const streams = streamsOf(options);
  const diallers = rawDiallers(io, createPeerBinder(io.syscalls, Math.random()));
  const onStream: AcceptOptions['onStream'] = createInterceptedStreams(context, { ...mode, diallers, streams });
  const loops: AcceptLoop[] = [];
  try {
    for (const family of mode.ipv6 ? ([4, 6] as const) : ([4] as const)) {
      const fd = openStreamSocket(io.syscalls, family, mode.proxyPort);
      loops.push(acceptStreams(io, fd, { destinations: true, awaitBytes: true, onStream, onFault: faultsOf(context) }));
    }
  } catch (error) {
    for (const loop of loops) loop.close();
    throw error;
  }
  return opened(streams, loops);
}

function streamsOf({ io, context, settings, health }: RawStreamsOptions): Streams<RawSocket> {
  return createStreams(context, settings, health, io.loop.timers, io.syscalls.md5);
}

function opened(streams: Streams<RawSocket>, loops: readonly AcceptLoop[]): RawStreams {
  return {
    counts: () => streams.counts(),
    appUp: () => streams.appUp(),
    stop() {
      for (const loop of loops) loop.close();
      return streams.stop();
    },
  };
}

function faultsOf(context: FenceContext): AcceptOptions['onFault'] {
  const bucket = createTokenBucket(FAULT_BURST, FAULTS_PER_SECOND);
  return (error) => {
    if (bucket.take(context.now())) {
      context.onFault({ code: 'accept_failed', message: `a socket of the fence failed: ${error.message}` });
    }
  };
}
