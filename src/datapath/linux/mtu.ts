/** The MTU of the route to an address: asked of a connected UDP socket (which sends nothing), remembered for a while, bounded. */
import { SOCKADDR_MAX_BYTES, writeSockaddr } from './sockaddr.ts';
import { AF_INET, AF_INET6, IP_MTU, IPV6_MTU, SOCK_DGRAM, SOL_IP, SOL_IPV6, type Syscalls } from './syscalls.ts';

/** How long an answer counts, ms: path MTU discovery and routes may change it. */
const REMEMBER_MS = 5_000;
/** How many destinations are remembered; the oldest goes first. */
const ENTRIES_MAX = 1_024;
/** connect() needs a port; nothing is sent to it (RFC 863, discard). */
const PORT = 9;
/** A sockaddr of family AF_UNSPEC (0): connecting to it undoes a connection. */
const UNSPECIFIED = Buffer.alloc(SOCKADDR_MAX_BYTES);

export interface MtuOracle {
  /** `undefined` when there is no route or the kernel does not say. `key` names the destination. */
  mtu(key: string, address: Uint8Array, nowMs: number): number | undefined;
  close(): void;
}

/** `family`: which addresses it is asked about. Throws a SystemError. */
export function createMtuOracle(calls: Syscalls, family: 4 | 6): MtuOracle {
  const fd = calls.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  const known = new Map<string, { readonly mtu: number | undefined; readonly atMs: number }>();
  const place = Buffer.alloc(SOCKADDR_MAX_BYTES);
  const ask = (address: Uint8Array): number | undefined => {
    // A socket keeps the source address of its first connection, which may not be ours any more, or no way to the next one.
    calls.connect(fd, UNSPECIFIED);
    const bytes = writeSockaddr(place, address, PORT);
    if (calls.connect(fd, place.subarray(0, bytes)) < 0) return undefined;
    return family === 4 ? calls.getInt(fd, SOL_IP, IP_MTU) : calls.getInt(fd, SOL_IPV6, IPV6_MTU);
  };
  return {
    mtu(key, address, nowMs) {
      const before = known.get(key);
      if (before !== undefined && nowMs - before.atMs < REMEMBER_MS) return before.mtu;
      const mtu = ask(address);
      known.delete(key);
      known.set(key, { mtu, atMs: nowMs });
      if (known.size > ENTRIES_MAX) known.delete(known.keys().next().value as string);
      return mtu;
    },
    close: () => calls.close(fd),
  };
}
