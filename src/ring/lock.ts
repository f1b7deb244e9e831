/** A lock in one cell of shared memory, for critical sections of a few dozen instructions: bounded spinning, never a wait. */

/** A holder is a few dozen instructions long; past this many tries the lock is not had. */
const LOCK_TRIES_MAX = 10_000;

/** A lock this old was left by a thread that was ended while it held it; the next one takes it over. */
export const LOCK_STALE_MS = 5_000;

/** The token's clock turns over after 12 days, so that it fits the cell. */
const CLOCK_TURN_MS = 2 ** 30;

/**
 * Takes the lock in `cells[at]` (0 = free) and gives the token to release it with, or 0 when it could not be had. The token says
 * when it was taken, so that a dead holder can be told from a busy one. `nowMs` must be comparable across threads.
 */
export function takeLock(cells: Int32Array, at: number, nowMs: number): number {
  const clock = Math.floor(nowMs) % CLOCK_TURN_MS;
  const token = clock + 1;
  let held = 0;
  for (let tries = 0; tries < LOCK_TRIES_MAX; tries++) {
    held = Atomics.compareExchange(cells, at, 0, token);
    if (held === 0) return token;
  }
  const ageMs = (clock - (held - 1) + CLOCK_TURN_MS) % CLOCK_TURN_MS;
  // Half a turn and more is a holder whose clock is a little ahead of ours, not an old one.
  if (ageMs <= LOCK_STALE_MS || ageMs > CLOCK_TURN_MS / 2) return 0;
  return Atomics.compareExchange(cells, at, held, token) === held ? token : 0;
}

/** Frees the lock, unless it was taken over meanwhile. */
export function releaseLock(cells: Int32Array, at: number, token: number): void {
  Atomics.compareExchange(cells, at, token, 0);
}
