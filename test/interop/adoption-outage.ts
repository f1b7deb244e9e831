/** A fence that dies and comes back, beside a ring without fences whose member is off the network for as long. */
import type { Test } from 'tap';
import type { Host } from '../lab/lab.ts';
import type { Events } from './adoption-events.ts';
import type { AdoptionRing, Seat } from './adoption-ring.ts';
import { fenceOf } from './adoption-run.ts';
import { sleep } from './serf-stand.ts';

/** Everyone probes everyone else of four in this time, and a suspicion is refuted in less. */
const AFTER_MS = 6_000;

/** The rules of a pod whose fence is down, for a member that has none. */
const CUT = `table inet cut {
  chain in { type filter hook input priority 0; iif eth0 drop; }
  chain out { type filter hook output priority 0; oif eth0 drop; }
}`;

/** Kills the fence of `seat` (SIGKILL: what it knew is gone, its rules stay and let nothing through), starts it again at once, and gives how long it was away, ms. */
async function restartFence(seat: Seat): Promise<number> {
  const fence = fenceOf(seat);
  const fromMs = Date.now();
  await fence.kill9();
  await fence.start('ready');
  return Date.now() - fromMs;
}

async function cutOff(host: Host, ms: number): Promise<void> {
  host.exec('nft', [CUT]);
  await sleep(ms);
  host.exec('nft', ['delete table inet cut']);
}

/** One outage of the fence of `name` in `ring`, the same of the bare member `name` in `control`; both are events called `event`. */
export async function outage(
  t: Test,
  name: string,
  event: string,
  fenced: { readonly ring: AdoptionRing; readonly events: Events },
  control: { readonly ring: AdoptionRing; readonly events: Events },
): Promise<void> {
  await fenced.events.run(
    event,
    async () => {
      const awayMs = await restartFence(fenced.ring.seat(name));
      t.comment(`${event}: away for ${awayMs} ms`);
      const away = () => cutOff(control.ring.seat(name).host, awayMs);
      await Promise.all([sleep(AFTER_MS), control.events.run(event, away, AFTER_MS)]);
    },
    0,
  );
}
