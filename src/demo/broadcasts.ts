/** Gossip waiting to be sent, piggybacked or in packets of its own. Mirrors memberlist queue.go `TransmitLimitedQueue`. */
import { COMPOUND_PARTS_MAX } from '../wire/limits.ts';
import { RETRANSMIT_MULT } from './settings.ts';

interface Broadcast {
  readonly message: Uint8Array;
  transmits: number;
  readonly done: () => void;
}

export interface Broadcasts {
  /** Queues news about a member; older news about it is dropped. `done` is called once it was sent often enough, or dropped. */
  queue(name: string, message: Uint8Array, done?: () => void): void;
  /** Messages that fit into `maxBytes`, each counted with its two length bytes; the least often sent first. */
  take(maxBytes: number): Uint8Array[];
}

/** A queue with one entry a member; `members` says how many there are now, which sets how often each entry is sent. */
export function createBroadcasts(members: () => number): Broadcasts {
  const waiting = new Map<string, Broadcast>();
  return {
    queue(name, message, done = () => undefined) {
      waiting.get(name)?.done();
      // Deleted first, so that the newest is last in the map's order.
      waiting.delete(name);
      waiting.set(name, { message, transmits: 0, done });
    },
    take(maxBytes) {
      const limit = RETRANSMIT_MULT * Math.ceil(Math.log10(members() + 1));
      const taken: Uint8Array[] = [];
      let left = maxBytes;
      const order = [...waiting].reverse().sort(([, a], [, b]) => a.transmits - b.transmits);
      for (const [name, entry] of order) {
        // One place stays free for the message that is being piggybacked on.
        if (taken.length === COMPOUND_PARTS_MAX - 1) break;
        if (entry.message.length + 2 > left) continue;
        left -= entry.message.length + 2;
        taken.push(entry.message);
        if (++entry.transmits < limit) continue;
        waiting.delete(name);
        entry.done();
      }
      return taken;
    },
  };
}
