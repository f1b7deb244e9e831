/** Pings that wait for their ack, by sequence number. Mirrors memberlist state.go `setProbeChannels` and `invokeAckHandler`. */
import { PENDING_ACKS_MAX } from './settings.ts';

export interface Acks {
  /** A fresh sequence number. */
  next(): number;
  /** Resolves with whether the ack for `seq` arrived within `timeoutMs`; at once with false when too many wait already. */
  wait(seq: number, timeoutMs: number): Promise<boolean>;
  acked(seq: number): void;
  /** Resolves everything that waits, with false. */
  stop(): void;
}

export function createAcks(): Acks {
  const waiting = new Map<number, (acked: boolean) => void>();
  let last = Math.floor(Math.random() * 2 ** 16);
  return {
    next() {
      last = (last + 1) % 2 ** 32;
      return last;
    },
    wait(seq, timeoutMs) {
      if (waiting.size >= PENDING_ACKS_MAX) return Promise.resolve(false);
      return new Promise((resolve) => {
        const settle = (acked: boolean) => {
          clearTimeout(timer);
          waiting.delete(seq);
          resolve(acked);
        };
        const timer = setTimeout(settle, timeoutMs, false);
        waiting.set(seq, settle);
      });
    },
    acked: (seq) => waiting.get(seq)?.(true),
    stop() {
      for (const settle of [...waiting.values()]) settle(false);
    },
  };
}
