/** Opening the two sockets of the listen path on one address and port, with one clear line where that fails. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv6, type Server } from 'node:net';
import { codeOf, startError } from './bind-error.ts';
import type { Endpoint } from './engine.ts';
import { numericLookup } from './sessions.ts';

/** How often another port is tried when the system's choice for TCP is taken on UDP; only with port 0. */
const PORT_TRIES_MAX = 16;

export interface BoundSockets {
  readonly tcp: Server;
  readonly udp: UdpSocket;
  /** The address with the port that was really bound. */
  readonly at: Endpoint;
}

/** Binds TCP and UDP on `listen`. Rejects with a StartError that names address, port and protocol; then nothing stays open. */
export async function bindBoth(listen: Endpoint): Promise<BoundSockets> {
  for (let tries = 1; ; tries++) {
    const tcp = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    try {
      tcp.listen({ host: listen.address, port: listen.port });
      await once(tcp, 'listening');
    } catch (cause) {
      throw startError('TCP', listen, cause);
    }
    const at = { address: listen.address, port: (tcp.address() as AddressInfo).port };
    try {
      return { tcp, udp: await bindUdp(at), at };
    } catch (cause) {
      tcp.close();
      const chosenForUs = listen.port === 0 && codeOf(cause) === 'EADDRINUSE';
      if (!chosenForUs || tries === PORT_TRIES_MAX) throw startError('UDP', at, cause);
    }
  }
}

async function bindUdp({ address, port }: Endpoint): Promise<UdpSocket> {
  const udp = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', lookup: numericLookup });
  try {
    const listening = once(udp, 'listening');
    udp.bind({ address, port, exclusive: true });
    await listening;
    return udp;
  } catch (cause) {
    udp.close();
    throw cause;
  }
}
