/** Remote peers by address and port as node's sockets write them: what is known of one is kept from packet to packet. */
import { endpointOf } from './endpoint.ts';
import { createPacketPeer, type PacketPeer } from './packet-peer.ts';
import type { Session } from './sessions.ts';

/** Peers without a session that are remembered: whose packets are rejected, or who are sent to alone. */
export const IDLE_REMOTES_MAX = 1_024;

/** One remote peer, in one fence. */
export class Remote {
  readonly peer: PacketPeer;
  /** The address as node's socket gave it and takes it: with its zone, and IPv4 in its IPv6-mapped form. */
  readonly socketAddress: string;
  /** Its open session towards the app. */
  session: Session | undefined;

  constructor(socketAddress: string, port: number) {
    const { address } = endpointOf(socketAddress, port);
    this.peer = createPacketPeer(address, port);
    this.socketAddress = socketAddress;
  }
}

export class Remotes {
  /** By address, then port: nothing is put together for a look-up. */
  readonly #known = new Map<string, Map<number, Remote>>();
  #count = 0;
  /** Whoever has no session is forgotten at this count. */
  #sweepAt = IDLE_REMOTES_MAX;

  /** The peer at an address and port; one without a session may be forgotten by the next call. */
  of(socketAddress: string, port: number): Remote {
    let ports = this.#known.get(socketAddress);
    const known = ports?.get(port);
    if (known !== undefined) return known;
    if (this.#count >= this.#sweepAt) {
      this.#sweep();
      ports = this.#known.get(socketAddress);
    }
    const remote = new Remote(socketAddress, port);
    if (ports === undefined) this.#known.set(socketAddress, new Map([[port, remote]]));
    else ports.set(port, remote);
    this.#count++;
    return remote;
  }

  count(): number {
    return this.#count;
  }

  /** Leaves those with a session, which are bounded by its own limit; the next one is due after as many more again. */
  #sweep(): void {
    for (const [address, ports] of this.#known) {
      for (const [port, { session }] of ports) if (session === undefined && ports.delete(port)) this.#count--;
      if (ports.size === 0) this.#known.delete(address);
    }
    this.#sweepAt = this.#count + IDLE_REMOTES_MAX;
  }
}
