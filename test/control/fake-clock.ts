/** A clock that moves when a test says so; promises settle between its steps. */
import type { Clock } from '../../src/control/clock.ts';

export interface FakeClock extends Clock {
  /** Moves on by `ms`, and makes every call that falls due on the way, in order. */
  pass(ms: number): Promise<void>;
  /** Calls that are planned. */
  planned(): number;
}

/** Lets what is resolved already run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

export function createFakeClock(startMs = 1_800_000_000_000): FakeClock {
  let nowMs = startMs;
  let order = 0;
  const calls = new Map<number, { readonly atMs: number; readonly act: () => void }>();
  return {
    now: () => nowMs,
    after(delayMs, act) {
      const id = order++;
      calls.set(id, { atMs: nowMs + Math.max(0, delayMs), act });
      return () => calls.delete(id);
    },
    planned: () => calls.size,
    async pass(ms) {
      const endMs = nowMs + ms;
      await settle();
      for (;;) {
        const [next] = [...calls].filter(([, { atMs }]) => atMs <= endMs).sort(([, a], [, b]) => a.atMs - b.atMs);
        if (next === undefined) break;
        calls.delete(next[0]);
        nowMs = Math.max(nowMs, next[1].atMs);
        next[1].act();
        await settle();
      }
      nowMs = endMs;
      await settle();
    },
  };
}
