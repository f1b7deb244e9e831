/**
 * Whether lo takes IPv4 packets of other hosts' addresses that come by no route. The kernel asks for the way back to a source (Linux
 * net/ipv4/fib_frontend.c `fib_validate_source`): not at all with rp_filter 0, for any way with 2; with 1 the way must be lo itself, so
 * that a peer's address never passes. What counts is the larger one of `all` and `lo`. IPv6 has no such filter.
 */
import { readFileSync } from 'node:fs';

const SETTINGS = ['all', 'lo'].map((name) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`);
const OFF = 0;
const LOOSE = 2;

/** Of this network namespace. False where the kernel does not say. `read` is there for tests. */
export function loTakesPeers(read: (path: string) => string = (path) => readFileSync(path, 'latin1')): boolean {
  try {
    const filter = Math.max(...SETTINGS.map((path) => Number.parseInt(read(path), 10)));
    return filter === OFF || filter === LOOSE;
  } catch {
    return false;
  }
}
