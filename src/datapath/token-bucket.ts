/** A bound on events a second: `burst` at once, then `perSecond`. */
export interface TokenBucket {
  take(nowMs: number): boolean;
}

export function createTokenBucket(burst: number, perSecond: number): TokenBucket {
  let tokens = burst;
  let atMs: number | undefined;
  return {
    take(nowMs) {
      if (atMs !== undefined) tokens = Math.min(burst, tokens + (Math.max(0, nowMs - atMs) * perSecond) / 1_000);
      atMs = nowMs;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
