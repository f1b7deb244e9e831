/** How a member reaches others: bare sockets here, or through its fence (fenced.ts). */
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import type { Endpoint } from '../datapath/engine.ts';
import { STREAMS_MAX } from './settings.ts';

export interface Transport {
  /** Sends one packet; what cannot be sent is lost, as UDP loses it. */
  sendPacket(to: Endpoint, packet: Uint8Array): void;
  /** Answers a packet that named no source: back to where it came from. */
  answerPacket(to: Endpoint, packet: Uint8Array): void;
  /** Opens a connection; the returned socket is connecting, half-open allowed, and reports failure as 'error'. */
  dial(to: Endpoint): Socket;
  /** Closes every socket; once is enough. */
  stop(): Promise<void>;
}

/** What arrives. */
export interface Arrivals {
  /** `packet` belongs to the receiver. */
  packet(packet: Uint8Array, from: Endpoint): void;
  /** A connection, half-open allowed; the receiver closes it. */
  stream(socket: Socket): void;
}

/** UDP and TCP on `bind`. Rejects with the system's error (EADDRINUSE, EADDRNOTAVAIL …) when it cannot be bound. */
export async function createBareTransport(bind: Endpoint, arrivals: Arrivals): Promise<Transport> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    track(open, socket);
    arrivals.stream(socket);
  });
  server.maxConnections = STREAMS_MAX;
  const udp = createSocket('udp4');
  try {
    server.listen(bind.port, bind.address);
    await once(server, 'listening');
    udp.bind(bind.port, bind.address);
    await once(udp, 'listening');
  } catch (error) {
    server.close();
    udp.close();
    throw error;
  }
  // An ICMP error about an earlier datagram may surface here; the probe that it belongs to times out by itself.
  udp.on('error', () => undefined);
  udp.on('message', (packet: Uint8Array, { address, port }: RemoteInfo) => arrivals.packet(packet, { address, port }));
  let stopped = false;
  const send = (to: Endpoint, packet: Uint8Array) => {
    if (!stopped) udp.send(packet, to.port, to.address, () => undefined);
  };
  return {
    sendPacket: send,
    answerPacket: send,
    dial(to) {
      if (stopped) return new Socket().destroy(new Error('the member has stopped'));
      const socket = connect({ port: to.port, host: to.address, localAddress: bind.address, allowHalfOpen: true });
      track(open, socket);
      return socket;
    },
    async stop() {
      if (stopped) return;
      stopped = true;
      for (const socket of open) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      udp.close();
      await closed;
    },
  };
}

function track(open: Set<Socket>, socket: Socket): void {
  open.add(socket);
  socket.on('close', () => open.delete(socket));
}
