/**
 * Proof that the kernel rules stand, without the right to read them: a datagram with the mark of intercepted traffic, bound to lo and
 * addressed to a documentation address, must come back to the proxy socket with that destination. It never leaves lo.
 */
import { parseAddress } from '../../wire/address.ts';
import { MARK_TO_FENCE } from './rules.ts';
import { sockaddr } from './sockaddr.ts';
import { AF_INET, AF_INET6, SO_BINDTODEVICE, SO_MARK, SOCK_DGRAM, SOL_SOCKET, type Syscalls } from './syscalls.ts';

/** RFC 5737 and RFC 3849: nobody's addresses. */
export const TEST_ADDRESSES = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;

/** A nonce is this long, so that a gossip frame is never taken for one. */
export const NONCE_BYTES = 24;

/** Sends the datagram; says why it could not (an errno's name). */
export function sendSelfTest(calls: Syscalls, family: 4 | 6, port: number, nonce: Uint8Array): string | undefined {
  let fd = -1;
  try {
    fd = calls.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    calls.setBytes(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('lo\0'));
    calls.setInt(fd, SOL_SOCKET, SO_MARK, MARK_TO_FENCE);
    const to = sockaddr(parseAddress(TEST_ADDRESSES[family]) as Uint8Array, port);
    return calls.sendto(fd, nonce, nonce.length, to) < 0 ? calls.errno() : undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    if (fd >= 0) calls.close(fd);
  }
}
