/** Time as this room is given it, so that every wait is tested without waiting. */
export interface Clock {
  /** Milliseconds since the epoch that never run backwards, whatever the wall clock does. */
  now(): number;
  /** Calls `act` once, after `delayMs`; the returned function cancels it. Never keeps the process alive. */
  after(delayMs: number, act: () => void): () => void;
}
