/**
 * Inspection in the main thread (Inside, made real): what crosses is copied into bounded queues once its verdict was carried out, and
 * read later by the pump. Packets and streams, passed and rejected, have a queue each, so that a flood of foreign frames cannot starve
 * what our own ring says, nor the other way round.
 */
import type { FrameSource } from '../ring/source.ts';
import type { Inside, StreamTap } from './inside.ts';
import type { Pump } from './inspection-pump.ts';
import {
  createMemoryLane,
  INSPECTION_SKIP_REASONS,
  type InspectionSkipped,
  type Lane,
  type MemoryLane,
  type Piece,
  type StreamKey,
} from './inspection-queue.ts';

/** What packets of one kind may wait. */
const PACKET_LANE_BYTES = 1024 * 1024;
/** What streams of one kind may wait: a push/pull with several MB of user state arrives faster than it is read. */
const STREAM_LANE_BYTES = 8 * 1024 * 1024;
/** Directions of streams that are inspected at once; memberlist itself takes at most 128 push/pulls. */
export const INSPECTED_STREAMS_MAX = 128;
/** The same of rejected ones, counted for themselves. */
export const INSPECTED_REJECTED_MAX = 64;
/** The part of these that one peer may have: one that keeps its streams open must not hide what others say. */
const PEER_PART = 4;

/** Reads one direction of a stream to its end. */
export interface StreamInspector {
  /** False once nothing that follows is of interest. */
  push(chunk: Uint8Array): boolean;
  end(complete: boolean): void;
}

/** What reads frames. Never throws. */
export interface Inspector {
  packet(source: FrameSource, bytes: Uint8Array): void;
  stream(source: FrameSource): StreamInspector;
}

export interface InspectionOptions {
  readonly bytesPerSecond: number;
  readonly pump: Pump;
  readonly inspector: Inspector;
  /** Lanes that other threads fill. */
  readonly lanes: readonly Lane[];
}

export interface Inspection extends Pick<Inside, 'packet' | 'stream'> {
  /** What was left out since the start. */
  skipped(): InspectionSkipped;
  /** Ends it; what waits is thrown away. */
  stop(): void;
}

interface OpenStream extends StreamKey {
  inspector: StreamInspector | undefined;
  /** Set by the reader: what follows need not be copied. */
  satisfied: boolean;
}

/** Makes the inspection of one fence; it works from now on. */
export function createInspection(options: InspectionOptions): Inspection {
  const { pump, inspector, bytesPerSecond } = options;
  const wake = () => pump.wake();
  const packets = {
    own: createMemoryLane(PACKET_LANE_BYTES, wake),
    rejected: createMemoryLane(PACKET_LANE_BYTES, wake),
  };
  const streams = {
    own: createMemoryLane(STREAM_LANE_BYTES, wake),
    rejected: createMemoryLane(STREAM_LANE_BYTES, wake),
  };
  const lanes = [packets.own, packets.rejected, streams.own, streams.rejected, ...options.lanes];
  const open = { own: createPlaces(INSPECTED_STREAMS_MAX), rejected: createPlaces(INSPECTED_REJECTED_MAX) };
  const left = { streams_limit: 0, stream_cut_short: 0 };

  const inspect = (piece: Piece): void => {
    if (piece.type === 'packet') {
      inspector.packet(piece.source, piece.bytes);
      return;
    }
    const stream = piece.stream as OpenStream;
    if (piece.type === 'stream_end') {
      stream.inspector?.end(piece.complete);
      stream.inspector = undefined;
      open[shareOf(stream.source)].leave(stream.source.peer.address);
    } else if (!stream.satisfied) {
      stream.inspector ??= inspector.stream(stream.source);
      stream.satisfied = !stream.inspector.push(piece.bytes);
    }
  };
  const remove = pump.add({ lanes, bytesPerSecond, inspect });

  return {
    packet: (source, bytes) => void packets[shareOf(source)].packet(source, bytes),
    stream(source) {
      const share = shareOf(source);
      if (!open[share].take(source.peer.address)) {
        left.streams_limit++;
        return undefined;
      }
      const copy = { ...source, label: Uint8Array.from(source.label) };
      const stream: OpenStream = { source: copy, inspector: undefined, satisfied: false };
      return createTap(stream, streams[share], () => left.stream_cut_short++);
    },
    skipped() {
      const totals = { queue_full: 0, frame_too_large: 0, ...left };
      for (const lane of lanes) {
        const skipped = lane.skipped();
        for (const reason of INSPECTION_SKIP_REASONS) totals[reason] += skipped[reason] ?? 0;
      }
      return totals;
    },
    stop: remove,
  };
}

function shareOf({ rejected }: FrameSource): 'own' | 'rejected' {
  return rejected ? 'rejected' : 'own';
}

interface Places {
  /** False when there is none left, or the peer has its part. */
  take(peer: string): boolean;
  leave(peer: string): void;
}

function createPlaces(max: number): Places {
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

/** A stream whose bytes find no room is inspected as far as it got: what comes later would be out of context. */
function createTap(stream: OpenStream, lane: MemoryLane, onCutShort: () => void): StreamTap {
  let cutShort = false;
  let ended = false;
  return {
    push(chunk) {
      if (cutShort || ended || stream.satisfied || chunk.length === 0) return;
      if (lane.stream(stream, chunk)) return;
      cutShort = true;
      onCutShort();
    },
    end(complete) {
      if (ended) return;
      ended = true;
      lane.streamEnd(stream, complete && !cutShort);
    },
  };
}
