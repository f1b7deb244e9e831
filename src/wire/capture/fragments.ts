/**
 * IP datagrams put together from their fragments, in any order. Bounded in datagrams, bytes and time. Fragments that overlap in any
 * way but exact repetition discard the datagram (RFC 5722, and the same for IPv4: no honest sender overlaps).
 */
import type { Fragment, IpPacket } from './ip.ts';
import {
  FRAGMENTED_MAX,
  FRAGMENTED_TIMEOUT_MS,
  FRAGMENTED_TOTAL_MAX_BYTES,
  FRAGMENTS_MAX,
  IP_PAYLOAD_MAX_BYTES,
} from './limits.ts';

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface Partial {
  /** By offset, without overlaps. */
  readonly pieces: Piece[];
  readonly startedMs: number;
  /** IPv6 says the upper protocol in every fragment, and may lie in all but the first. */
  protocol: number;
  bytes: number;
  /** Known when the last fragment came. */
  total: number | undefined;
}

export interface Reassembler {
  /** Takes a fragment (copied) and gives the datagram that it completes. `nowMs` is the capture's time. */
  add(packet: IpPacket, fragment: Fragment, nowMs: number): IpPacket | undefined;
  /** Datagrams given up so far: too old, too many, overlapping, too long, or cut by a snapshot length. */
  lost(): number;
  /** Datagrams that still wait. */
  waiting(): number;
}

export function createReassembler(): Reassembler {
  const partials = new Map<string, Partial>();
  let heldBytes = 0;
  let lost = 0;

  const drop = (key: string, partial: Partial): void => {
    partials.delete(key);
    heldBytes -= partial.bytes;
  };
  const lose = (key: string, partial: Partial): undefined => {
    drop(key, partial);
    lost++;
    return undefined;
  };
  /** The oldest go first: a Map keeps the order of insertion. */
  const makeRoom = (nowMs: number): void => {
    for (const [key, partial] of partials) {
      const old = nowMs - partial.startedMs > FRAGMENTED_TIMEOUT_MS;
      if (!old && partials.size < FRAGMENTED_MAX && heldBytes < FRAGMENTED_TOTAL_MAX_BYTES) return;
      lose(key, partial);
    }
  };
  const open = (key: string, packet: IpPacket, nowMs: number): Partial => {
    makeRoom(nowMs);
    const partial = { pieces: [], startedMs: nowMs, protocol: packet.protocol, bytes: 0, total: undefined };
    partials.set(key, partial);
    return partial;
  };

  return {
    lost: () => lost,
    waiting: () => partials.size,
    add(packet, fragment, nowMs) {
      const v4 = packet.source.includes('.');
      // IPv6 datagrams are told apart without their protocol (RFC 8200), IPv4 with it (RFC 791).
      const key = `${packet.source} ${packet.destination} ${fragment.id} ${v4 ? packet.protocol : ''}`;
      const partial = partials.get(key) ?? open(key, packet, nowMs);
      if (fragment.offset === 0) partial.protocol = packet.protocol;
      const fits = packet.missing === 0 && insert(partial, fragment, packet.payload);
      if (fits === false) return lose(key, partial);
      heldBytes += fits;
      if (partial.total === undefined || partial.bytes < partial.total) return undefined;
      drop(key, partial);
      const payload = Buffer.concat(partial.pieces.map(({ bytes }) => bytes));
      return { ...packet, protocol: partial.protocol, payload, missing: 0, fragment: undefined };
    },
  };
}

/** Puts a piece in its place; gives how many bytes were new, or false when it cannot belong there. */
function insert(partial: Partial, { offset, more }: Fragment, payload: Uint8Array): number | false {
  const { pieces } = partial;
  const end = offset + payload.length;
  if (payload.length === 0 || end > IP_PAYLOAD_MAX_BYTES || pieces.length === FRAGMENTS_MAX) return false;
  let at = pieces.length;
  while (at > 0 && (pieces[at - 1]?.offset ?? 0) >= offset) at--;
  const before = pieces[at - 1];
  const after = pieces[at];
  if (before !== undefined && before.offset + before.bytes.length > offset) return false;
  if (after !== undefined && after.offset < end) {
    // A repetition, as a network or an interface that is seen twice makes it.
    return after.offset === offset && after.bytes.length === payload.length ? 0 : false;
  }
  const last = pieces.at(-1);
  if (!more && (partial.total !== undefined || (last !== undefined && last.offset > offset))) return false;
  if (partial.total !== undefined && end > partial.total) return false;
  if (!more) partial.total = end;
  pieces.splice(at, 0, { offset, bytes: Uint8Array.from(payload) });
  partial.bytes += payload.length;
  return payload.length;
}
