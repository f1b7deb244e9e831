/** The wait until all that was sent has come: what a proxy's sockets hold at the end of a load, of a hundred fences, takes it seconds. */
import { sleep } from './processes.ts';
import type { Counts, Sink } from './udp-sink.ts';

/** Between looks, and how long what is under way may take to arrive, ms. */
const LOOK_MS = 200;
const SETTLE_MAX_MS = 20_000;
/** Looks in a row in which nothing comes before a difference is found to be one. */
const STILL_LOOKS = 3;

export interface Settled {
  readonly last: Counts;
  /** What the fence says it let through since it was started; NaN of who counts none. */
  readonly passed: number;
}

/**
 * Waits until nothing comes any more and `agrees` finds the fence's count right, or until it is plain that they differ: several looks in
 * which nothing came. At most SETTLE_MAX_MS, for a proxy that never stops. Whoever calls compares.
 */
export async function settle(
  sink: Pick<Sink, 'counts'>,
  passedBy: () => Promise<number>,
  agrees: (settled: Settled) => boolean,
  lookMs = LOOK_MS,
): Promise<Settled> {
  const deadlineMs = performance.now() + SETTLE_MAX_MS;
  let before = await sink.counts();
  for (let still = 0; ; ) {
    await sleep(lookMs);
    const passed = await passedBy();
    const last = await sink.counts();
    still = last.packets + last.lost === before.packets + before.lost ? still + 1 : 0;
    before = last;
    const isOver = still >= STILL_LOOKS || (still > 0 && agrees({ last, passed }));
    if (isOver || performance.now() > deadlineMs) return { last, passed };
  }
}
