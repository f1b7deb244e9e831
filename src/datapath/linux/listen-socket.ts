/** The UDP socket on the advertised address, in the engine's thread. */
import { parseAddress } from '../../wire/address.ts';
import { startError } from '../bind-error.ts';
import type { Endpoint } from '../engine.ts';
import { tellAskedAddress } from './asked-address.ts';
import { ReceiveQueue } from './receive-queue.ts';
import { SOCKADDR_IN_BYTES, SOCKADDR_MAX_BYTES, sockaddr } from './sockaddr.ts';
import { AF_INET, AF_INET6, SOCK_DGRAM, type Syscalls, SystemError } from './syscalls.ts';

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export interface ListenSocket {
  readonly fd: number;
  readonly queue: ReceiveQueue;
  /** The address with the port that was really bound. */
  readonly at: Endpoint;
  /** It listens on every address, and tells which one each datagram was sent to. */
  readonly wildcard: boolean;
}

/** Port 0: the kernel chooses one. Throws a StartError that names address and port, as bind.ts does; then nothing stays open. */
export function openListenSocket(calls: Syscalls, listen: Endpoint): ListenSocket {
  let fd = -1;
  try {
    const bytes = parseAddress(listen.address);
    if (bytes === undefined) throw new SystemError('bind', 'EINVAL');
    const address = sockaddr(bytes, listen.port);
    const family = address.length === SOCKADDR_IN_BYTES ? 4 : 6;
    fd = calls.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    const wildcard = WILDCARDS.has(listen.address);
    if (wildcard) tellAskedAddress(calls, fd, family);
    const queue = new ReceiveQueue(calls, fd);
    calls.bind(fd, address);
    return { fd, queue, at: { address: listen.address, port: boundPort(calls, fd) }, wildcard };
  } catch (error) {
    if (fd >= 0) calls.close(fd);
    throw error instanceof SystemError ? startError('UDP', listen, error) : error;
  }
}

function boundPort(calls: Syscalls, fd: number): number {
  const place = Buffer.from(new ArrayBuffer(SOCKADDR_MAX_BYTES + 4));
  const at = Number(calls.address(place));
  place.writeUInt32LE(SOCKADDR_MAX_BYTES, SOCKADDR_MAX_BYTES);
  if (calls.streams.getsockname(fd, at, at + SOCKADDR_MAX_BYTES) < 0)
    throw new SystemError('getsockname', calls.errno());
  return place.readUInt16BE(2);
}
