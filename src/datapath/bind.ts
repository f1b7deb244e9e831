/** Opening the two sockets of the listen path on one address and port, with one clear line where that fails. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv6, type Server } from 'node:net';
import { codeOf, PORT_TRIES_MAX, startError } from './bind-error.ts';
import type { Endpoint } from './engine.ts';
import { numericLookup } from './sessions.ts';

/**
 * Bytes of datagrams that may wait in the socket that peers send to. Linux gives what it has (net.core.rmem_max); others refuse what is more than
 * theirs (kern.ipc.maxsockbuf), and are asked for half as much, down to the least.
 */
export const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;
const RECEIVE_BUFFER_MIN_BYTES = 256 * 1024;

export interface BoundSockets {
  readonly tcp: Server;
  readonly udp: UdpSocket;
  /** The address with the port that was really bound. */
  readonly at: Endpoint;
}

/** Binds TCP and UDP on `listen`. Rejects with a StartError that names address, port and protocol; then nothing stays open. */
export async function bindBoth(listen: Endpoint): Promise<BoundSockets> {
  const { tcp, at, packets } = await bindStreamsAnd(listen, bindUdp);
  return { tcp, at, udp: packets };
}

/**
 * Binds TCP on `listen` and has `openPackets` take the same port for UDP, which rejects with a StartError, EADDRINUSE where it is taken.
 * Rejects as bindBoth does.
 */
export async function bindStreamsAnd<Packets>(
  listen: Endpoint,
  openPackets: (at: Endpoint) => Promise<Packets>,
): Promise<{ readonly tcp: Server; readonly at: Endpoint; readonly packets: Packets }> {
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
      return { tcp, at, packets: await openPackets(at) };
    } catch (cause) {
      tcp.close();
      const chosenForUs = listen.port === 0 && codeOf(cause) === 'EADDRINUSE';
      if (!chosenForUs || tries === PORT_TRIES_MAX) throw cause;
    }
  }
}

async function bindUdp(at: Endpoint): Promise<UdpSocket> {
  const { address, port } = at;
  const type = isIPv6(address) ? 'udp6' : 'udp4';
  const udp = createSocket({ type, lookup: numericLookup });
  try {
    const listening = once(udp, 'listening');
    udp.bind({ address, port, exclusive: true });
    await listening;
    widen(udp);
    return udp;
  } catch (cause) {
    udp.close();
    throw startError('UDP', at, cause);
  }
}

/** Where not even the least is given, the socket keeps what it came with. */
function widen(udp: UdpSocket): void {
  for (let bytes = RECEIVE_BUFFER_BYTES; bytes >= RECEIVE_BUFFER_MIN_BYTES; bytes /= 2) {
    try {
      udp.setRecvBufferSize(bytes);
      return;
    } catch {
      // Half as much.
    }
  }
}
