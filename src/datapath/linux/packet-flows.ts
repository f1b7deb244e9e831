/**
 * What is known of the ways that intercepted datagrams go: direction, peer, headers. Found by both addresses as the kernel wrote them, so
 * that a datagram of a known way costs no text and no object.
 */
import { formatAddress } from '../../wire/address.ts';
import { createPacketPeer, type PacketPeer } from '../packet-peer.ts';
import { createFlow, type Family, type Flow } from './headers.ts';
import type { LocalAddresses } from './local-addresses.ts';
import { isNameOf, Named, PeerIndex } from './peer-index.ts';
import { readSockaddr, sockaddrPlace } from './sockaddr.ts';

/** Ways that are remembered, for each direction; the one that was used the longest time ago is forgotten, which costs a little time. */
const FLOWS_MAX = 4_096;
/** Of a way whose direction may be told otherwise with the next datagram. */
const UNCLEAR = -1;
const FAMILY_MASK = 0xffff;

/** One way. It is named by the peer, whichever side sends. */
export class PacketFlow extends Named implements Flow {
  readonly inbound: boolean;
  readonly peer: PacketPeer;
  readonly family: Family;
  readonly addresses: Int32Array;
  readonly ports: number;
  readonly sum: number;
  readonly headerSum: number;
  readonly bare: boolean;
  /** Our end. */
  readonly own: Named;
  /** Where it goes, as 16 bytes and as text. */
  readonly destination: Uint8Array;
  readonly to: string;
  /** The same as a raw socket takes it: a sockaddr without a port. */
  readonly toName: Int32Array;
  readonly toNameBytes: number;
  /** Of the local addresses, when its direction was told. */
  readonly revision: number;

  constructor(memory: Buffer, sourceAt: number, destinationAt: number, inbound: boolean, revision: number) {
    super(memory, inbound ? sourceAt : destinationAt);
    this.inbound = inbound;
    this.revision = revision;
    this.own = new Named(memory, inbound ? destinationAt : sourceAt);
    this.peer = createPacketPeer(this.address, this.port);
    const source = sockaddrPlace();
    const destination = sockaddrPlace();
    readSockaddr(memory, sourceAt, source);
    readSockaddr(memory, destinationAt, destination);
    const target = inbound ? this.own : this;
    this.to = target.address;
    this.destination = destination.address;
    this.toName = target.name.map((word, k) => (k === 0 ? word & FAMILY_MASK : word));
    this.toNameBytes = target.nameBytes;
    this.family = target.isV4 ? 4 : 6;
    // Towards one of our own addresses.
    const stays = inbound && revision !== UNCLEAR;
    const flow = createFlow(source.address, source.port, destination.address, destination.port, this.family, stays);
    ({
      addresses: this.addresses,
      ports: this.ports,
      sum: this.sum,
      headerSum: this.headerSum,
      bare: this.bare,
    } = flow);
  }
}

export class PacketFlows {
  readonly #local: LocalAddresses;
  readonly #inbound = new PeerIndex<PacketFlow>();
  readonly #outbound = new PeerIndex<PacketFlow>();
  #revision = UNCLEAR;

  constructor(local: LocalAddresses) {
    this.#local = local;
  }

  /** Before each batch: ways whose direction new local addresses may have turned are told anew. */
  refresh(): void {
    this.#revision = this.#local.revision();
  }

  /** The way of a datagram between the sockaddrs at `sourceAt` and `destinationAt` of `memory` (`words` is the same), both of an IP family. */
  find(memory: Buffer, words: Int32Array, sourceAt: number, destinationAt: number): PacketFlow {
    const source = sourceAt >> 2;
    const destination = destinationAt >> 2;
    const inbound = this.#inbound.find(words, source);
    if (inbound?.revision === this.#revision && isNameOf(words, destination, inbound.own)) {
      this.#inbound.touch(inbound);
      return inbound;
    }
    const outbound = this.#outbound.find(words, destination);
    if (outbound?.revision === this.#revision && isNameOf(words, source, outbound.own)) {
      this.#outbound.touch(outbound);
      return outbound;
    }
    return this.#learn(memory, words, sourceAt, destinationAt);
  }

  #learn(memory: Buffer, words: Int32Array, sourceAt: number, destinationAt: number): PacketFlow {
    const local = this.#local;
    const from = textOf(memory, sourceAt);
    const to = textOf(memory, destinationAt);
    const inbound = local.inbound(from, to);
    this.#revision = local.revision();
    const clear = local.has(from) !== local.has(to);
    const flow = new PacketFlow(memory, sourceAt, destinationAt, inbound, clear ? this.#revision : UNCLEAR);
    if (!clear) return flow;
    const index = inbound ? this.#inbound : this.#outbound;
    const before = index.find(words, (inbound ? sourceAt : destinationAt) >> 2);
    const leaves = before ?? (index.size >= FLOWS_MAX ? index.oldest() : undefined);
    if (leaves !== undefined) index.remove(leaves);
    index.add(flow);
    return flow;
  }
}

function textOf(memory: Buffer, at: number): string {
  const place = sockaddrPlace();
  readSockaddr(memory, at, place);
  return formatAddress(place.address);
}
