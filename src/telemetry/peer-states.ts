/** What the memory of peers says about addresses, for gauges and the status. */
import type { PeerRecord } from '../ring/peers.ts';

/** Where a fence keeps its rejected foreigners. */
export interface ForeignSource {
  /** The memory window, ms. */
  readonly windowMs: number;
  foreignPeers(nowMs: number): ReadonlySet<string>;
}

/** The addresses that showed a foreign label: rejected ones, and those that memory learned on any stage. */
export function foreignAddresses(
  fence: ForeignSource,
  nowMs: number,
  records: readonly PeerRecord[],
): ReadonlySet<string> {
  const seen = new Set(fence.foreignPeers(nowMs));
  for (const { address, lastForeignMs } of records) {
    if (lastForeignMs > 0 && nowMs - lastForeignMs <= fence.windowMs) seen.add(address);
  }
  return seen;
}

/** What an address showed last within the window; undefined for records that hold no evidence. */
export function lastShown(record: PeerRecord, nowMs: number, windowMs: number): 'own' | 'none' | 'foreign' | undefined {
  const { lastOwnMs, lastNoneMs, lastForeignMs } = record;
  const newest = Math.max(lastOwnMs, lastNoneMs, lastForeignMs);
  if (record.port !== 0 || newest === 0 || nowMs - newest > windowMs) return undefined;
  if (newest === lastOwnMs) return 'own';
  return newest === lastForeignMs ? 'foreign' : 'none';
}
