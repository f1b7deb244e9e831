/** What a path keeps of a remote peer between its packets, so that nothing of it is worked out for each. */
import type { Endpoint } from './engine.ts';

/** One address and port, in one fence and thread; whoever makes it bounds how many there are. Only the gate changes what it remembers. */
export class PacketPeer implements Endpoint {
  readonly address: string;
  readonly port: number;

  constructor(address: string, port: number) {
    this.address = address;
    this.port = port;
  }
}

/** `address`: text without a zone, IPv4-mapped IPv6 as IPv4 (Endpoint). Text that is no address is a peer that nobody admits. */
export function createPacketPeer(address: string, port: number): PacketPeer {
  return new PacketPeer(address, port);
}
