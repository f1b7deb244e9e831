/** Sockets bound to a peer's address, for connections to the app that come from the peer as the app sees it. Needs CAP_NET_RAW. */
import { parseAddress } from '../../wire/address.ts';
import { setTransparent } from './proxy-sockets.ts';
import { MARK_AS_PEER } from './rules.ts';
import { sockaddr } from './sockaddr.ts';
import {
  AF_INET,
  AF_INET6,
  SO_MARK,
  SO_REUSEADDR,
  SOCK_STREAM,
  SOL_SOCKET,
  type Syscalls,
  SystemError,
} from './syscalls.ts';

/**
 * Source ports of connections under a peer's address. The peer's own connection to us has the same addresses and the same
 * destination port, so its source port must differ: these lie above the range that Linux gives to diallers (32768–60999).
 */
const PEER_PORT_FIRST = 61_000;
const PEER_PORT_COUNT = 65_536 - PEER_PORT_FIRST;
/** Ports tried before a dial fails: others may be bound by programs of the pod. */
const PORT_TRIES_MAX = 16;

/**
 * Opens a TCP socket bound to `peer`'s address; `busy` tells source ports that the peer itself uses now. The caller owns it. Throws a
 * SystemError.
 */
export type PeerBinder = (peer: string, busy: (port: number) => boolean) => number;

/** `firstPort`: where the turn through the source ports starts, 0..1. */
export function createPeerBinder(calls: Syscalls, firstPort: number): PeerBinder {
  let turn = Math.floor(firstPort * PEER_PORT_COUNT);
  return (peer, busy) => {
    const address = parseAddress(peer);
    if (address === undefined) throw new SystemError('bind', 'EADDRNOTAVAIL');
    const family = peer.includes(':') ? 6 : 4;
    const fd = calls.socket(family === 4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    try {
      setTransparent(calls, fd, family);
      calls.setInt(fd, SOL_SOCKET, SO_MARK, MARK_AS_PEER);
      calls.setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      for (let tries = 1; ; tries++) {
        turn = (turn + 1) % PEER_PORT_COUNT;
        if (busy(PEER_PORT_FIRST + turn) && tries < PORT_TRIES_MAX) continue;
        try {
          calls.bind(fd, sockaddr(address, PEER_PORT_FIRST + turn));
          return fd;
        } catch (error) {
          if (tries >= PORT_TRIES_MAX) throw error;
        }
      }
    } catch (error) {
      calls.close(fd);
      throw error;
    }
  };
}
