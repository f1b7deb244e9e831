/** Which failures of a ping are our own: they say nothing about the member. */
import type { PingResult } from '../control/prober.ts';

/**
 * Descriptors, memory, rights and routes of this machine, and a certificate that we would not accept under the name that we ask for:
 * the app may ask for another one.
 */
const OWN_FAULTS: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
  'EAGAIN',
  'EACCES',
  'EPERM',
  'EINVAL',
  'EMSGSIZE',
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'ENETUNREACH',
  'ENETDOWN',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

export const SILENT: PingResult = Object.freeze({ outcome: 'silent' });
export const UNABLE: PingResult = Object.freeze({ outcome: 'unable' });

/** What a ping that ended with `error` tells. */
export function resultOfError(error: unknown): PingResult {
  const { code = '' } = error as NodeJS.ErrnoException;
  return OWN_FAULTS.has(code) ? UNABLE : SILENT;
}
