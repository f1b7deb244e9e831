/** What is known of the peers of streams from one connection to the next. */
import { createPacketPeer, type PacketPeer } from './packet-peer.ts';

/** Peers kept at once; half a kilobyte each. */
const PEERS_MAX = 1_024;

export type PeerCache = (address: string, port: number) => PacketPeer;

/** A bounded cache. Full, it starts anew: what it holds can be had again. */
export function createPeerCache(): PeerCache {
  const peers = new Map<string, PacketPeer>();
  return (address, port) => {
    // Most have none: an inbound stream's says nothing.
    const key = port === 0 ? address : `${address} ${port}`;
    const known = peers.get(key);
    if (known !== undefined) return known;
    if (peers.size >= PEERS_MAX) peers.clear();
    const peer = createPacketPeer(address, port);
    peers.set(key, peer);
    return peer;
  };
}
