/** Where something that was read inside a frame came from: what the ring's tables need to know of the frame around it. */
import type { Direction, Kind, LabelState } from '../policy/facts.ts';
import type { Transport } from '../wire/transport.ts';

export interface FrameSource {
  readonly atMs: number;
  /** Who dialled or sent: inbound, a peer; outbound, our app. */
  readonly direction: Direction;
  readonly transport: Transport;
  readonly kind: Kind;
  /** The remote member, whichever side dialled. */
  readonly peer: { readonly address: string; readonly port: number };
  /** What the frame itself carried; a stream's answer counts under its request's. */
  readonly labelState: LabelState;
  /** The label's bytes, attacker-chosen; empty without one. */
  readonly label: Uint8Array;
  /** Whether the frame was rejected: nothing of it reached the other side. */
  readonly rejected: boolean;
  /** A stream's bytes of the side that was dialled. */
  readonly answer: boolean;
}

/** Whether the remote peer, not our app, wrote these bytes. */
export function spokenByPeer({ direction, answer }: FrameSource): boolean {
  return (direction === 'inbound') !== answer;
}

/** Whether the bytes became our cluster's own gossip: they reached the other side and carried no other cluster's label. */
export function isOwnGossip({ rejected, labelState }: FrameSource): boolean {
  return !rejected && (labelState === 'own' || labelState === 'none');
}

/** A peer's word in a frame with a foreign label; what our own app writes under one is no sighting of strangers. */
export function isForeignWord(source: FrameSource): boolean {
  return source.labelState === 'foreign' && spokenByPeer(source);
}
