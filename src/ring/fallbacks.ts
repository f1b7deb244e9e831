/** Who fell back from the own label to none: a restarted or rolled-back neighbour. Never cut for it before `enforce`; alarmed. */
import type { Evidence } from './evidence.ts';
import type { PeerRecord } from './peers.ts';

export interface Fallback {
  /** Undefined where gossip names nobody at the address, or several. */
  readonly name: string | undefined;
  readonly address: string;
  /** When it last sent without the label. */
  readonly lastMs: number;
}

/** Addresses that sent the own label within the window and none since, the latest first. One with several members behind it shows both without falling. */
export function fallbacksOf(
  records: readonly PeerRecord[],
  evidence: readonly Pick<Evidence, 'name' | 'address'>[],
  isShared: (address: string) => boolean,
  { nowMs, windowMs }: { readonly nowMs: number; readonly windowMs: number },
): Fallback[] {
  const fallen = records.flatMap(({ address, port, ambiguous, lastOwnMs, lastNoneMs, unlabelled }) => {
    const lastMs = Math.max(lastNoneMs, unlabelled?.lastMs ?? 0);
    const wasOwn = lastOwnMs > 0 && nowMs - lastOwnMs <= windowMs;
    return port !== 0 || ambiguous || !wasOwn || lastMs <= lastOwnMs || isShared(address) ? [] : [{ address, lastMs }];
  });
  if (fallen.length === 0) return [];
  const names = new Map<string, string | undefined>();
  for (const { address, name } of evidence) names.set(address, names.has(address) ? undefined : name);
  return fallen
    .map(({ address, lastMs }) => ({ name: names.get(address), address, lastMs }))
    .sort((a, b) => b.lastMs - a.lastMs);
}
