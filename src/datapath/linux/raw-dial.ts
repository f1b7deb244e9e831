/**
 * The fence's own connections in the engine's loop: to the app, under the peer's address or the pod's, and to peers. All return a raw
 * socket that is connecting; a failure, at once or later, is its 'error' event.
 */
import { parseAddress } from '../../wire/address.ts';
import type { Endpoint } from '../engine.ts';
import type { Diallers } from './intercepted-streams.ts';
import type { PeerBinder } from './peer-bind.ts';
import type { RawIo } from './raw-io.ts';
import { RawSocket } from './raw-socket.ts';
import { sockaddr } from './sockaddr.ts';
import { AF_INET, AF_INET6, SOCK_STREAM, SOL_IP, type Syscalls } from './syscalls.ts';
import { SystemError } from './system-error.ts';

/** Leaves the choice of a source port to connect, which knows the destination: as many connections to each as there are ports. */
const IP_BIND_ADDRESS_NO_PORT = 24;

/** A way to one address, kept as the kernel takes it. */
export function rawDialler(io: RawIo, to: Endpoint): () => RawSocket {
  const { family, name } = target(to);
  const spares = io.spares.of(family);
  return () => {
    const socket = dial(io, name, () => spares.take());
    socket.spares = spares;
    return socket;
  };
}

/** `bind`: undefined where nobody is dialled under a peer's address. */
export function rawDiallers(io: RawIo, bind: PeerBinder): Diallers<RawSocket> {
  return {
    plain(to, from) {
      const { family, name } = target(to);
      return dial(io, name, (calls) => {
        const fd = calls.socket(family, SOCK_STREAM, 0);
        calls.streams.handshakeWithData(fd);
        return from === undefined ? fd : boundTo(calls, fd, from);
      });
    },
    asPeer: (peer, app, busy) =>
      dial(io, target(app).name, (calls) => {
        const fd = bind(peer, busy);
        calls.streams.handshakeWithData(fd);
        return fd;
      }),
  };
}

/** `to` is numeric; what is not goes nowhere (and connect says so). */
function target({ address, port }: Endpoint): { readonly family: number; readonly name: Buffer | undefined } {
  const bytes = parseAddress(address);
  return {
    family: address.includes(':') ? AF_INET6 : AF_INET,
    name: bytes === undefined ? undefined : sockaddr(bytes, port),
  };
}

function boundTo(calls: Syscalls, fd: number, from: string): number {
  try {
    const address = parseAddress(from);
    if (address === undefined) throw new SystemError('bind', 'EADDRNOTAVAIL');
    calls.setInt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    calls.bind(fd, sockaddr(address, 0));
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/** `open` gives a socket with what StreamCalls.handshakeWithData sets, or throws a SystemError. */
function dial(io: RawIo, name: Buffer | undefined, open: (calls: Syscalls) => number): RawSocket {
  const { syscalls } = io;
  if (name === undefined) return new RawSocket(io, -1, true, new SystemError('connect', 'EADDRNOTAVAIL'));
  try {
    const fd = open(syscalls);
    const code = syscalls.connect(fd, name) < 0 ? syscalls.errno() : undefined;
    if (code === undefined || code === 'EINPROGRESS') return new RawSocket(io, fd, true);
    syscalls.close(fd);
    return new RawSocket(io, -1, true, new SystemError('connect', code));
  } catch (error) {
    return new RawSocket(io, -1, true, error as Error);
  }
}
