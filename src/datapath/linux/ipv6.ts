/** Whether IPv6 exists where this process runs. */
import { existsSync, readFileSync } from 'node:fs';

/** Whether this network namespace has IPv6: built in, and not switched off for lo. */
export function hasIpv6(): boolean {
  const off = '/proc/sys/net/ipv6/conf/lo/disable_ipv6';
  return existsSync('/proc/net/if_inet6') && (!existsSync(off) || readFileSync(off, 'utf8').trim() === '0');
}
