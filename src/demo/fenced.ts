/**
 * A member's way through its own fence, both directions: it listens where the fence takes its app to be, and hands what it sends to
 * the fence. TCP is handed over through a loopback gate: the member dials the gate, and the gate's end goes to the fence.
 */
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import type { Endpoint } from '../datapath/engine.ts';
import type { ListenPath } from '../datapath/listen.ts';
import { STREAMS_MAX } from './settings.ts';
import { type Arrivals, createBareTransport, type Transport } from './transport.ts';

/** How long one end at the gate waits for the other. */
const GATE_TIMEOUT_MS = 2_000;

/** The transport of a member that listens on `app`, behind `path`. Rejects with the system's error when `app` cannot be bound. */
export async function createFencedTransport(
  path: Pick<ListenPath, 'outboundPacket' | 'outboundStream'>,
  app: Endpoint,
  arrivals: Arrivals,
): Promise<Transport> {
  const bare = await createBareTransport(app, arrivals);
  const gate = await openGate(app.address, (socket, to) => path.outboundStream(socket, to)).catch(async (error) => {
    await bare.stop();
    throw error;
  });
  return {
    sendPacket: (to, packet) => path.outboundPacket(packet, to),
    // Back to the socket that the fence keeps for this peer; it judges the answer as outbound.
    answerPacket: bare.answerPacket,
    dial: gate.dial,
    async stop() {
      await Promise.all([bare.stop(), gate.stop()]);
    },
  };
}

interface Gate {
  dial(to: Endpoint): Socket;
  stop(): Promise<void>;
}

/** Pairs what it dials with what it accepts by the dialler's port; any other connection to it is dropped. */
async function openGate(address: string, hand: (socket: Socket, to: Endpoint) => void): Promise<Gate> {
  const targets = new Map<number, Endpoint>();
  const arrived = new Map<number, Socket>();
  const open = new Set<Socket>();
  let stopped = false;
  const match = (port: number) => {
    const to = targets.get(port);
    const socket = arrived.get(port);
    if (to === undefined || socket === undefined) return;
    targets.delete(port);
    arrived.delete(port);
    hand(socket, to);
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const port = socket.remotePort ?? 0;
    socket.on('error', () => socket.destroy());
    arrived.set(port, socket);
    setTimeout(() => {
      // Still here: nobody of ours dialled it.
      if (arrived.get(port) === socket) arrived.delete(port) && socket.destroy();
    }, GATE_TIMEOUT_MS).unref();
    match(port);
  });
  server.maxConnections = STREAMS_MAX;
  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  const gatePort = typeof bound === 'object' && bound !== null ? bound.port : 0;
  return {
    dial(to) {
      if (stopped) return new Socket().destroy(new Error('the member has stopped'));
      const socket = connect({ port: gatePort, host: address, localAddress: address, allowHalfOpen: true });
      open.add(socket);
      let port = 0;
      socket.once('connect', () => {
        port = socket.localPort ?? 0;
        targets.set(port, to);
        match(port);
      });
      socket.on('close', () => {
        open.delete(socket);
        if (targets.get(port) === to) targets.delete(port);
      });
      return socket;
    },
    async stop() {
      if (stopped) return;
      stopped = true;
      for (const socket of [...open, ...arrived.values()]) socket.destroy();
      server.close();
    },
  };
}
