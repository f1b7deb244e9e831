/** Configurations of transparent fences, and what their counters say, in the few words that tests compare. */
import type { Fence } from './fence.ts';

export interface TransparentConfig {
  readonly cluster: string;
  readonly stage: string;
  /** Addresses that are admitted; none: everyone. */
  readonly cidrs: readonly string[];
  readonly port?: number;
  /** Which address the app sees on TCP. */
  readonly tcpSource?: 'peer' | 'pod';
}

/** One transparent fence for an app that predates labels, on a ring whose bare members send none. */
export function transparentConfig({
  cluster,
  stage,
  cidrs,
  port = 7946,
  tcpSource = 'peer',
}: TransparentConfig): object {
  return {
    fences: [{ name: cluster, cluster, stage, wire: 'none', transparent: { port, tcpSource }, admit: { cidrs } }],
  };
}

/** Rejections so far by `direction transport kind reason`; those at zero are left out. */
export async function rejections(fence: Fence): Promise<Readonly<Record<string, number>>> {
  const found: Record<string, number> = {};
  for (const { name, labels, value } of await fence.metrics()) {
    if (name !== 'ringfence_rejected_total' || value === 0) continue;
    const { direction, transport, kind, reason } = labels;
    const key = `${direction} ${transport} ${kind} ${reason}`;
    found[key] = (found[key] ?? 0) + value;
  }
  return found;
}

/** What `rejections` grew by while `action` ran. */
export async function rejectedDuring(fence: Fence, action: () => Promise<void>): Promise<Record<string, number>> {
  const before = await rejections(fence);
  await action();
  const grown: Record<string, number> = {};
  for (const [key, value] of Object.entries(await rejections(fence))) {
    if (value !== before[key]) grown[key] = value - (before[key] ?? 0);
  }
  return grown;
}
