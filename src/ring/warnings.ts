/**
 * The merge warning: what does not look like ours for longer than the grace. Members and ring instances outside of the identity rules
 * (none without rules of that kind), and fresh ring instances at whose address no member is.
 */
import type { Outside } from '../policy/identity.ts';
import type { KvInstance } from './instances.ts';
import type { Member } from './members.ts';

export interface MergeWarning {
  readonly kind: 'member' | 'instance' | 'instance_without_member';
  /** Which rule it is outside of; undefined for an instance without a member. */
  readonly outside: Outside | undefined;
  /** The member's name or the instance's id; attacker-chosen. */
  readonly name: string;
  /** Attacker-chosen: an instance may write what it likes. */
  readonly address: string;
  /** The KV key of an instance's ring. */
  readonly key: string | undefined;
  readonly sinceMs: number;
}

/** An instance whose heartbeat is older than this is no newcomer but a leftover, ms: dskit's ring HeartbeatTimeout is 1 min by default, apps set up to 10. */
const HEARTBEAT_MS = 10 * 60_000;

/** Warnings at `nowMs`, at most `limit`, those that last longest first. */
export function mergeWarnings(
  members: Iterable<Member>,
  instances: Iterable<KvInstance>,
  nowMs: number,
  graceMs: number,
  limit: number,
): MergeWarning[] {
  const out: MergeWarning[] = [];
  for (const { state, name, address, outside, firstSeenMs } of members) {
    if (outside === undefined || (state !== 'alive' && state !== 'suspect') || nowMs - firstSeenMs <= graceMs) continue;
    out.push({ kind: 'member', outside, name, address, key: undefined, sinceMs: firstSeenMs });
  }
  for (const instance of instances) {
    const { id, address, key, outside, firstSeenMs } = instance;
    if (instance.state === 'LEFT' || nowMs - firstSeenMs <= graceMs) continue;
    const row = { name: id, address, key, sinceMs: firstSeenMs };
    if (outside !== undefined) out.push({ kind: 'instance', outside, ...row });
    else if (lacksMember(instance, nowMs)) out.push({ kind: 'instance_without_member', outside, ...row });
  }
  return out.sort((a, b) => a.sinceMs - b.sinceMs).slice(0, limit);
}

/** Whether a newcomer that still beats was never seen where a member is. */
function lacksMember({ atStart, ip, memberMs, timestamp }: KvInstance, nowMs: number): boolean {
  return !atStart && ip !== undefined && memberMs === 0 && nowMs - timestamp * 1_000 <= HEARTBEAT_MS;
}
