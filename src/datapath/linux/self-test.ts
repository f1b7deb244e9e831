/**
 * Proof that the kernel rules stand, without the right to read them: a datagram with the mark of intercepted traffic, bound to lo and
 * addressed to a documentation address, must come back to the proxy socket with that destination. It never leaves lo.
 */
import { parseAddress } from '../../wire/address.ts';
import { setTransparent } from './proxy-sockets.ts';
import { MARK_TO_FENCE } from './rules.ts';
import { sockaddr } from './sockaddr.ts';
import {
  AF_INET,
  AF_INET6,
  IP_MTU,
  IPV6_MTU,
  SO_BINDTODEVICE,
  SO_MARK,
  SOCK_DGRAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  type Syscalls,
} from './syscalls.ts';

/** RFC 5737 and RFC 3849: nobody's addresses. */
export const TEST_ADDRESSES = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;

const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;

/** A nonce is this long, so that a gossip frame is never taken for one. */
export const NONCE_BYTES = 24;

/** Sends the datagram; says what is missing when that is known already. */
export function sendSelfTest(calls: Syscalls, family: 4 | 6, port: number, nonce: Uint8Array): string | undefined {
  const address = parseAddress(TEST_ADDRESSES[family]) as Uint8Array;
  const to = sockaddr(address, port);
  let fd = -1;
  try {
    const reference = mtuOf(calls, family, sockaddr(parseAddress(LOOPBACK[family]) as Uint8Array, port), false);
    // lo's MTU is that of no other link: marked traffic is routed to lo. (Bound to lo it would get there without the routing rule.)
    if (mtuOf(calls, family, to, true) !== reference)
      return `the routing rule for fwmark 0x${MARK_TO_FENCE} is missing`;
    fd = calls.socket(domainOf(family), SOCK_DGRAM, 0);
    calls.setBytes(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('lo\0'));
    calls.setInt(fd, SOL_SOCKET, SO_MARK, MARK_TO_FENCE);
    return calls.sendto(fd, nonce, nonce.length, to) < 0
      ? `the test datagram was refused: ${calls.errno()}`
      : undefined;
  } catch (error) {
    return `the rules cannot be tested: ${(error as Error).message}`;
  } finally {
    if (fd >= 0) calls.close(fd);
  }
}

const domainOf = (family: 4 | 6) => (family === 4 ? AF_INET : AF_INET6);

/** The MTU of the route to `to`, as a connected UDP socket tells it; undefined without a route. Sends nothing. */
function mtuOf(calls: Syscalls, family: 4 | 6, to: Uint8Array, marked: boolean): number | undefined {
  const fd = calls.socket(domainOf(family), SOCK_DGRAM, 0);
  try {
    // A local route makes the destination the source too, which is not ours: IPv4 refuses that without IP_TRANSPARENT.
    setTransparent(calls, fd, family);
    if (marked) calls.setInt(fd, SOL_SOCKET, SO_MARK, MARK_TO_FENCE);
    if (calls.connect(fd, to) < 0) return undefined;
    return family === 4 ? calls.getInt(fd, SOL_IP, IP_MTU) : calls.getInt(fd, SOL_IPV6, IPV6_MTU);
  } finally {
    calls.close(fd);
  }
}
