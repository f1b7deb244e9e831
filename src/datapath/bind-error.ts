/** Why an address to listen on cannot be had, in one clear line. */
import { formatEndpoint } from '../wire/address.ts';
import { type Endpoint, StartError } from './engine.ts';

/** How often another port is tried when the system's choice for TCP is taken on UDP; only with port 0. */
export const PORT_TRIES_MAX = 16;

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another process',
  EADDRNOTAVAIL: 'no interface of this machine has that address',
  EACCES: 'the right to bind that port is missing (ports below 1024 need CAP_NET_BIND_SERVICE)',
  EPERM: 'the right to bind that port is missing',
  EAFNOSUPPORT: 'this machine has no such address family',
  EINVAL: 'the system does not take that address',
};

/** The errno's name in what a call failed with. */
export function codeOf(cause: unknown): string {
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
}

/** `cause` carries the errno's name as its `code`. */
export function startError(protocol: 'TCP' | 'UDP', at: Endpoint, cause: unknown): StartError {
  const code = codeOf(cause);
  const why = WHY[code] ?? `the system says ${code}`;
  return new StartError(code, `cannot listen on ${formatEndpoint(at)} (${protocol}): ${why}`, { cause });
}
