/**
 * Whether lo takes IPv4 packets of other hosts' addresses that come by no route, at no great cost. With rp_filter the kernel asks for the
 * way back to a source (Linux net/ipv4/fib_frontend.c `fib_validate_source`): with 1 it must be lo itself, so that a peer's address never
 * passes; with 2 any will do, but looking for it twice costs more than the raw socket's way does. What counts is the larger one of `all`
 * and `lo`. IPv6 has no such filter.
 */
import { readFileSync } from 'node:fs';

const SETTINGS = ['all', 'lo'].map((name) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`);
const OFF = 0;

/** Of this network namespace. False where the kernel does not say. `read` is there for tests. */
export function loTakesPeers(read: (path: string) => string = (path) => readFileSync(path, 'latin1')): boolean {
  try {
    return SETTINGS.every((path) => Number.parseInt(read(path), 10) === OFF);
  } catch {
    return false;
  }
}
