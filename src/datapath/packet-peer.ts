/** What a path keeps of a remote peer between its frames, so that nothing of it is worked out for each. */
import { VIEW } from '../policy/decide.ts';
import type { FrameState } from '../policy/facts.ts';
import { MEMORY } from '../ring/known-peer.ts';
import { HEARD_FRESH_MS } from '../ring/packet-interest.ts';
import type { KnownPeer } from '../ring/peers.ts';
import { ADDRESS_BYTES, parseAddress } from '../wire/address.ts';
import type { Endpoint, FenceContext } from './engine.ts';

const UNKNOWN_ADDRESS = new Uint8Array(ADDRESS_BYTES);

/**
 * One address and port, of one fence in one thread: it remembers what that fence's rules said, and where its table has it. Whoever makes
 * it bounds how many there are; about half a kilobyte each.
 */
export class PacketPeer implements Endpoint {
  readonly address: string;
  readonly port: number;
  /** The address as 16 bytes; undefined when it is none. */
  readonly bytes: Uint8Array | undefined;
  #known: KnownPeer | undefined;
  /** Of the rules that said the next two. */
  #revision = 0;
  #admitted = false;
  #shared = false;
  /** Under what label inspection was last told of it, and when. */
  #toldState: FrameState | undefined;
  #toldMs = 0;

  constructor(address: string, port: number) {
    this.address = address;
    this.port = port;
    this.bytes = parseAddress(address);
  }

  /** Its records in the fence's table. */
  known(context: FenceContext): KnownPeer {
    this.#known ??= context.peers.know(this.bytes ?? UNKNOWN_ADDRESS, this.port);
    return this.#known;
  }

  /** Inspection is told that it spoke in a frame of `state`; undefined: in one that was rejected. */
  told(state: FrameState | undefined, nowMs: number): void {
    this.#toldState = state;
    this.#toldMs = nowMs;
  }

  /** Whether that was just now, and of the same state. */
  wasTold(state: FrameState, nowMs: number): boolean {
    return this.#toldState === state && nowMs - this.#toldMs < HEARD_FRESH_MS;
  }

  /** Who it is by the rules and the memory of now, as the number of a PeerView (policy/decide.ts VIEW). */
  view(context: FenceContext, nowMs: number): number {
    const admission = context.admission();
    if (admission.revision !== this.#revision) {
      this.#revision = admission.revision;
      this.#admitted = admission.admits(this.address);
      this.#shared = admission.shared(this.address);
    }
    const memory = this.known(context).memory(nowMs);
    return (
      (this.#admitted ? VIEW.admitted : 0) |
      ((memory & MEMORY.proven) !== 0 ? VIEW.proven : 0) |
      ((memory & MEMORY.foreign) !== 0 && !this.#shared ? VIEW.foreign : 0)
    );
  }
}

/** `address`: text without a zone, IPv4-mapped IPv6 as IPv4 (Endpoint). Text that is no address is a peer that no rules admit. */
export function createPacketPeer(address: string, port: number): PacketPeer {
  return new PacketPeer(address, port);
}
