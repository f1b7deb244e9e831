/** How many streams are inspected at once: a few of each peer, so that one that keeps its streams open cannot hide what others say. */

/** Directions of streams that are inspected at once; memberlist itself takes at most 128 push/pulls. */
export const INSPECTED_STREAMS_MAX = 128;
/** The same of rejected ones, counted for themselves. */
export const INSPECTED_REJECTED_MAX = 64;
/** The part of these that one peer may have. */
const PEER_PART = 4;

export interface Places {
  /** False when there is none left, or the peer has its part. */
  take(peer: string): boolean;
  leave(peer: string): void;
}

export function createPlaces(max: number): Places {
  const ofPeer = new Map<string, number>();
  let taken = 0;
  return {
    take(peer) {
      const count = ofPeer.get(peer) ?? 0;
      if (taken >= max || count >= max / PEER_PART) return false;
      taken++;
      ofPeer.set(peer, count + 1);
      return true;
    },
    leave(peer) {
      const count = (ofPeer.get(peer) ?? 1) - 1;
      taken--;
      if (count > 0) ofPeer.set(peer, count);
      else ofPeer.delete(peer);
    },
  };
}
