/** From frames to datagrams and connections: link, IP, fragments, UDP and TCP in one place, with a count of everything left out. */

import { u16be } from './bytes.ts';
import { createReassembler } from './fragments.ts';
import type { CapturedFrame } from './frame.ts';
import { decodeIp, type IpPacket, PROTOCOL } from './ip.ts';
import { OTHER_PORTS_MAX } from './limits.ts';
import { findIp, LINK } from './link.ts';
import { type Connection, type ConnectionSink, createTcpTable, decodeTcp, type Endpoint, type Moment } from './tcp.ts';

const UDP_HEADER_BYTES = 8;

export interface Datagram extends Moment {
  /** Undefined for a packet out of hex text, which has no addresses. */
  readonly source: Endpoint | undefined;
  readonly destination: Endpoint | undefined;
  /** A view that is good until the call returns. */
  readonly payload: Uint8Array;
  /** What a snapshot length left out of it. */
  readonly missing: number;
}

export interface DissectOptions {
  /** Whether a port is gossip's: frames with such a port on either side are looked at. */
  readonly isGossipPort: (port: number) => boolean;
  datagram(datagram: Datagram): void;
  /** A connection begins; what is given follows it. */
  connection(connection: Connection): ConnectionSink;
}

/** Frames and what became of them; each counts once, under the first that applies, but `cut`, which stands beside. */
export interface DissectCounts {
  frames: number;
  bytes: number;
  /** Frames that a snapshot length cut. */
  cut: number;
  notIp: number;
  /** Of a link type that is not read. */
  linkUnknown: number;
  /** Headers that are cut or contradict themselves. */
  malformed: number;
  fragments: number;
  /** IP packets of other protocols. */
  otherProtocols: number;
  otherPorts: number;
  udp: number;
  tcp: number;
}

export interface Dissector {
  frame(frame: CapturedFrame): void;
  /** The capture has ended: what is open ends too. */
  end(): void;
  counts(): Readonly<DissectCounts>;
  /** Frames by port outside the filter, the most first, at most `top`; of each frame the lower port, which is more often the server's. */
  otherPorts(top: number): readonly { readonly port: number; readonly frames: number }[];
  /** Link types that were not read. */
  unknownLinks(): readonly number[];
  /** Datagrams whose fragments never all came. */
  lostDatagrams(): number;
  /** Connections given up because of bounds. */
  evictedConnections(): number;
}

export function createDissector(options: DissectOptions): Dissector {
  const { isGossipPort } = options;
  const counts: DissectCounts = {
    ...{ frames: 0, bytes: 0, cut: 0, notIp: 0, linkUnknown: 0, malformed: 0, fragments: 0, otherProtocols: 0 },
    ...{ otherPorts: 0, udp: 0, tcp: 0 },
  };
  const ports = new Map<number, number>();
  const links = new Set<number>();
  const reassembler = createReassembler();
  const tcp = createTcpTable((connection) => options.connection(connection), isGossipPort);
  let moment: Moment = { number: 0, atMs: undefined };

  const isWanted = (bytes: Uint8Array): boolean => {
    const source = u16be(bytes, 0);
    const destination = u16be(bytes, 2);
    if (isGossipPort(source) || isGossipPort(destination)) return true;
    counts.otherPorts++;
    const port = Math.min(source, destination);
    const seen = ports.get(port) ?? 0;
    if (seen > 0 || ports.size < OTHER_PORTS_MAX) ports.set(port, seen + 1);
    return false;
  };
  const takeUdp = ({ source, destination, payload: bytes, missing }: IpPacket): void => {
    if (bytes.length < UDP_HEADER_BYTES) {
      counts.malformed++;
      return;
    }
    if (!isWanted(bytes)) return;
    counts.udp++;
    // Zero stands for a jumbogram, or for what the device has not cut into segments yet.
    const size = (u16be(bytes, 4) || bytes.length + missing) - UDP_HEADER_BYTES;
    const payload = bytes.subarray(UDP_HEADER_BYTES, UDP_HEADER_BYTES + Math.max(0, size));
    options.datagram({
      ...moment,
      source: { address: source, port: u16be(bytes, 0) },
      destination: { address: destination, port: u16be(bytes, 2) },
      payload,
      missing: Math.max(0, size) - payload.length,
    });
  };
  const takeTcp = ({ source, destination, payload, missing }: IpPacket): void => {
    const segment = decodeTcp(payload, missing, source, destination);
    if (segment === undefined) counts.malformed++;
    else if (isWanted(payload)) {
      counts.tcp++;
      tcp.segment(segment, moment);
    }
  };
  const takePacket = (packet: IpPacket): void => {
    if (packet.fragment !== undefined) {
      counts.fragments++;
      const whole = reassembler.add(packet, packet.fragment, moment.atMs ?? 0);
      if (whole !== undefined) takePacket(whole);
    } else if (packet.protocol === PROTOCOL.udp) takeUdp(packet);
    else if (packet.protocol === PROTOCOL.tcp) takeTcp(packet);
    else counts.otherProtocols++;
  };
  const takeLink = ({ linkType, bytes }: CapturedFrame): void => {
    const at = findIp(linkType, bytes);
    if (at === 'not_ip') counts.notIp++;
    else if (at === 'link_unknown') {
      counts.linkUnknown++;
      if (links.size < OTHER_PORTS_MAX) links.add(linkType);
    } else {
      const packet = at === 'cut' ? at : decodeIp(bytes, at);
      if (typeof packet === 'string') counts.malformed++;
      else takePacket(packet);
    }
  };

  return {
    frame(frame) {
      const { number, atMs, bytes, wireBytes, linkType } = frame;
      moment = { number, atMs };
      counts.frames++;
      counts.bytes += wireBytes;
      if (bytes.length < wireBytes) counts.cut++;
      if (linkType !== LINK.gossip) takeLink(frame);
      else options.datagram({ ...moment, source: undefined, destination: undefined, payload: bytes, missing: 0 });
    },
    end: () => tcp.end(moment),
    counts: () => counts,
    otherPorts: (top) =>
      [...ports]
        .map(([port, frames]) => ({ port, frames }))
        .toSorted((a, b) => b.frames - a.frames)
        .slice(0, top),
    unknownLinks: () => [...links],
    lostDatagrams: () => reassembler.lost() + reassembler.waiting(),
    evictedConnections: tcp.evicted,
  };
}
