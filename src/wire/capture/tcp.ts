/**
 * TCP connections of a capture: who dialled, and each side's bytes in order. A connection whose start was not captured is followed
 * too, and says so: its first bytes may be the middle of something.
 */
import { u16be, u32be } from './bytes.ts';
import { TCP_CONNECTIONS_MAX, TCP_HELD_TOTAL_MAX_BYTES } from './limits.ts';
import { createTcpSide, type TcpSide } from './tcp-side.ts';

const HEADER_BYTES = 20;
const FLAG = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export type Side = 'dialler' | 'answerer';

/** When something was seen. */
export interface Moment {
  /** Number of the frame. */
  readonly number: number;
  readonly atMs: number | undefined;
}

export interface Connection {
  readonly dialler: Endpoint;
  readonly answerer: Endpoint;
  /** The SYN is not in the capture: who dialled is a guess by the ports, and the first bytes need not start anything. */
  readonly midway: boolean;
}

/** What becomes of a connection; `how` says why it ended. `cut`: the capture ended, or the table was full. */
export type ConnectionEnd = 'closed' | 'reset' | 'cut';

/** Follows one connection. Byte views are good until the call returns. */
export interface ConnectionSink {
  data(side: Side, bytes: Uint8Array, moment: Moment): void;
  gap(side: Side, missing: number, moment: Moment): void;
  /** This side sent everything it had (a FIN, nothing missing before it but what `gap` told). */
  finished(side: Side, moment: Moment): void;
  /** Called once. */
  end(how: ConnectionEnd, moment: Moment): void;
}

export interface TcpSegment {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly seq: number;
  readonly flags: number;
  /** Captured payload, a view, and how much of it a snapshot length left out. */
  readonly payload: Uint8Array;
  readonly missing: number;
}

export interface TcpTable {
  segment(segment: TcpSegment, moment: Moment): void;
  /** The capture has ended. */
  end(moment: Moment): void;
  /** Connections that the bound on the table or its memory gave up. */
  evicted(): number;
}

interface Flow {
  readonly key: string;
  readonly sink: ConnectionSink;
  readonly sides: Record<Side, TcpSide>;
  readonly dialler: Endpoint;
  readonly told: Set<Side>;
  /** Ended: what still comes is left-overs. */
  ended: boolean;
  moment: Moment;
}

/** Ports and offset of a TCP header; undefined when it is no TCP header or is cut. */
export function decodeTcp(bytes: Uint8Array, missing: number, from: string, to: string): TcpSegment | undefined {
  const headerBytes = ((bytes[12] ?? 0) >> 4) * 4;
  if (headerBytes < HEADER_BYTES || bytes.length < headerBytes) return undefined;
  return {
    source: { address: from, port: u16be(bytes, 0) },
    destination: { address: to, port: u16be(bytes, 2) },
    seq: u32be(bytes, 4) | 0,
    flags: bytes[13] ?? 0,
    payload: bytes.subarray(headerBytes),
    missing,
  };
}

const keyOf = (a: Endpoint, b: Endpoint): string => `${a.address} ${a.port} ${b.address} ${b.port}`;
const isSide = (flow: Flow, from: Endpoint): Side =>
  flow.dialler.port === from.port && flow.dialler.address === from.address ? 'dialler' : 'answerer';

/** `open` is called for every connection; `isGossipPort` helps to guess who dialled when the start is missing. */
export function createTcpTable(
  open: (connection: Connection) => ConnectionSink,
  isGossipPort: (port: number) => boolean,
): TcpTable {
  // In the order of their last segments, so that the first is the one that was silent for the longest.
  const flows = new Map<string, Flow>();
  let heldBytes = 0;
  let evicted = 0;

  const close = (flow: Flow, how: ConnectionEnd): void => {
    if (flow.ended) return;
    for (const side of Object.values(flow.sides)) {
      heldBytes -= side.heldBytes();
      side.flush();
    }
    flow.ended = true;
    tellFinished(flow);
    flow.sink.end(how, flow.moment);
  };
  const makeRoom = (): void => {
    for (const flow of flows.values()) {
      if (flows.size < TCP_CONNECTIONS_MAX && heldBytes < TCP_HELD_TOTAL_MAX_BYTES) return;
      if (!flow.ended) evicted++;
      close(flow, 'cut');
      flows.delete(flow.key);
    }
  };
  const add = (segment: TcpSegment, moment: Moment): Flow => {
    makeRoom();
    const { source, destination, flags } = segment;
    const syn = (flags & FLAG.syn) !== 0;
    // A SYN's sender dials, a SYN-ACK's answers; without either the gossip port is the answerer's.
    const sourceAnswers = syn ? (flags & FLAG.ack) !== 0 : isGossipPort(source.port) && !isGossipPort(destination.port);
    const [dialler, answerer] = sourceAnswers ? [destination, source] : [source, destination];
    const sink = open({ dialler, answerer, midway: !syn });
    const side = (name: Side): TcpSide =>
      createTcpSide({
        data: (bytes) => sink.data(name, bytes, flow.moment),
        gap: (missing) => sink.gap(name, missing, flow.moment),
      });
    const sides = { dialler: side('dialler'), answerer: side('answerer') };
    const flow: Flow = { key: keyOf(source, destination), sink, sides, dialler, told: new Set(), ended: false, moment };
    flows.set(flow.key, flow);
    return flow;
  };
  /** The flow that a segment belongs to; undefined when it opens none. */
  const find = (segment: TcpSegment, moment: Moment): Flow | undefined => {
    const { source, destination, seq, flags } = segment;
    const flow = flows.get(keyOf(source, destination)) ?? flows.get(keyOf(destination, source));
    const dials = (flags & (FLAG.syn | FLAG.ack)) === FLAG.syn;
    if (flow !== undefined) {
      const side = flow.sides[isSide(flow, source)];
      const again = dials && (flow.ended || (side.started() && side.initial() !== ((seq + 1) | 0)));
      if (!again) return flow;
      close(flow, 'cut');
      flows.delete(flow.key);
    }
    const bare = segment.payload.length + segment.missing === 0 && (flags & FLAG.syn) === 0;
    return bare ? undefined : add(segment, moment);
  };

  return {
    segment(segment, moment) {
      const flow = find(segment, moment);
      if (flow === undefined || flow.ended) return;
      flow.moment = moment;
      flows.delete(flow.key);
      flows.set(flow.key, flow);
      const side = flow.sides[isSide(flow, segment.source)];
      const before = side.heldBytes();
      takeSegment(side, segment);
      heldBytes += side.heldBytes() - before;
      tellFinished(flow);
      if ((segment.flags & FLAG.rst) !== 0) close(flow, 'reset');
      else if (flow.told.size === 2) close(flow, 'closed');
      else if (heldBytes >= TCP_HELD_TOTAL_MAX_BYTES) makeRoom();
    },
    end(moment) {
      for (const flow of flows.values()) {
        flow.moment = moment;
        close(flow, 'cut');
      }
      flows.clear();
    },
    evicted: () => evicted,
  };
}

function takeSegment(side: TcpSide, { seq, flags, payload, missing }: TcpSegment): void {
  const syn = (flags & FLAG.syn) !== 0;
  const dataSeq = syn ? (seq + 1) | 0 : seq;
  if (!side.started()) side.start(dataSeq);
  // A reset's payload is a text for people at most (RFC 9293).
  if ((flags & FLAG.rst) !== 0) return;
  const size = payload.length + missing;
  const inWindow = size === 0 || side.segment(dataSeq, payload, missing);
  if (inWindow && (flags & FLAG.fin) !== 0) side.finish((dataSeq + size) | 0);
}

function tellFinished(flow: Flow): void {
  for (const side of ['dialler', 'answerer'] as const) {
    if (flow.told.has(side) || !flow.sides[side].finished()) continue;
    flow.told.add(side);
    flow.sink.finished(side, flow.moment);
  }
}
