/** The sockets that tproxy hands intercepted traffic to. Both need CAP_NET_RAW (IP_TRANSPARENT). Throw a StartError. */
import { parseAddress } from '../../wire/address.ts';
import { StartError } from '../engine.ts';
import type { Family } from './headers.ts';
import { sockaddr } from './sockaddr.ts';
import {
  AF_INET,
  AF_INET6,
  IP_RECVORIGDSTADDR,
  IP_TRANSPARENT,
  IPV6_RECVORIGDSTADDR,
  IPV6_TRANSPARENT,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  type Syscalls,
  SystemError,
} from './syscalls.ts';

const ANY = { 4: '0.0.0.0', 6: '::' } as const;

export const NET_RAW_MISSING =
  'CAP_NET_RAW is missing: grant it to the container (capabilities.add: ["NET_RAW"], with the file capability of the image) or start with `setpriv --inh-caps +net_raw --ambient-caps +net_raw`';

/** A UDP socket on the proxy port that tells each datagram's original destination. Not shared: a second fence is refused. */
export function openPacketSocket(calls: Syscalls, family: Family, proxyPort: number): number {
  return open(calls, family, SOCK_DGRAM, proxyPort, (fd) => {
    if (family === 4) calls.setInt(fd, SOL_IP, IP_RECVORIGDSTADDR, 1);
    else calls.setInt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1);
  });
}

/** A TCP socket on the proxy port, bound but not yet listening: node's `server.listen({ fd })` does that and owns it then. */
export function openStreamSocket(calls: Syscalls, family: Family, proxyPort: number): number {
  // A restart must not wait for the TIME_WAIT of earlier connections; two listeners are still refused.
  return open(calls, family, SOCK_STREAM, proxyPort, (fd) => calls.setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
}

function open(calls: Syscalls, family: Family, type: number, port: number, prepare: (fd: number) => void): number {
  const protocol = type === SOCK_STREAM ? 'TCP' : 'UDP';
  let fd = -1;
  try {
    fd = calls.socket(family === 4 ? AF_INET : AF_INET6, type, 0);
    setTransparent(calls, fd, family);
    if (family === 6) calls.setInt(fd, SOL_IPV6, IPV6_V6ONLY, 1);
    prepare(fd);
    calls.bind(fd, sockaddr(parseAddress(ANY[family]) as Uint8Array, port));
    return fd;
  } catch (error) {
    if (fd >= 0) calls.close(fd);
    if (!(error instanceof SystemError)) throw error;
    if (error.code === 'EPERM') throw new StartError('no_net_raw', NET_RAW_MISSING, { cause: error });
    const where = `${protocol} port ${port} (IPv${family})`;
    if (error.code === 'EADDRINUSE') {
      const message = `${where} is in use: another fence, or another program, has the proxy port`;
      throw new StartError('port_in_use', message, { cause: error });
    }
    throw new StartError('socket_failed', `${where} could not be opened: ${error.message}`, { cause: error });
  }
}

/** Lets a socket stand for addresses that are not ours. Throws a SystemError. */
export function setTransparent(calls: Syscalls, fd: number, family: Family): void {
  if (family === 4) calls.setInt(fd, SOL_IP, IP_TRANSPARENT, 1);
  else calls.setInt(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
}
