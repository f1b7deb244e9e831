/** Connections that a server of node takes on the advertised address, on their way to the app. */
import { connect, type Server, type Socket } from 'node:net';
import { formatEndpoint } from '../wire/address.ts';
import { endpointOf } from './endpoint.ts';
import type { AcceptedStream, Endpoint, FenceContext } from './engine.ts';
import { Gathering } from './gathering.ts';
import type { Streams } from './streams.ts';

/** Faults of the listening sockets are reported at most this often, ms: without descriptors every accept fails. */
const FAULT_INTERVAL_MS = 1_000;

/** Reports what befalls the listening sockets of the fence at `at`, seldom enough. */
export function listenFaults(context: FenceContext, at: Endpoint): (code: string, error: Error) => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return (code, error) => {
    const nowMs = context.now();
    if (nowMs - lastMs < FAULT_INTERVAL_MS) return;
    lastMs = nowMs;
    context.onFault({ code, message: `${formatEndpoint(at)}: ${error.message}` });
  };
}

interface Accepted {
  readonly socket: Socket;
  readonly stream: AcceptedStream<Socket>;
}

export interface ServedStreams {
  readonly streams: Streams<Socket>;
  /** Where the app listens. */
  readonly app: Endpoint;
  onFault(code: string, error: Error): void;
}

/** Takes what `server` (bind.ts) accepts from now on; the result ends that, and resolves once every connection has closed: cut them next. */
export function serveStreams(server: Server, { streams, app, onFault }: ServedStreams): () => Promise<void> {
  let stopped = false;
  const dial = () => connect({ host: app.address, port: app.port, allowHalfOpen: true });
  const gathering = new Gathering<Accepted>(({ socket, stream }) => streams.accept(socket, stream));
  server.on('connection', (socket) => {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || stopped) {
      // Gone before it could be looked at.
      socket.destroy();
      return;
    }
    gathering.add({ socket, stream: { direction: 'inbound', peer: endpointOf(remoteAddress, remotePort), dial } });
  });
  server.on('error', (error) => onFault('accept_failed', error));
  return () => {
    stopped = true;
    // Theirs to cut and to count, as all that are open.
    gathering.flush();
    return new Promise((resolve) => {
      server.close(() => resolve());
    });
  };
}
