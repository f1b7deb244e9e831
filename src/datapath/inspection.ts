/**
 * Inspection in the main thread (Inside, made real): what crosses is copied into bounded queues once its verdict was carried out, and
 * read later by the pump. Packets and streams, passed and rejected, have a queue each, so that a flood of foreign frames cannot starve
 * what our own ring says, nor the other way round.
 */
import type { FrameSource } from '../ring/source.ts';
import type { Inside, StreamTap } from './inside.ts';
import { createPlaces, INSPECTED_REJECTED_MAX, INSPECTED_STREAMS_MAX } from './inspection-places.ts';
import type { Pump } from './inspection-pump.ts';
import {
  createMemoryLane,
  INSPECTION_SKIP_REASONS,
  InspectedStream,
  type InspectionSkipped,
  type Lane,
  type MemoryLane,
  type Piece,
} from './inspection-queue.ts';

/** What packets of one kind may wait. */
const PACKET_LANE_BYTES = 1024 * 1024;
/** What streams of one kind may wait: a push/pull with several MB of user state arrives faster than it is read. */
const STREAM_LANE_BYTES = 8 * 1024 * 1024;
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

export interface Inspection extends Pick<Inside, 'room' | 'packet' | 'stream'> {
  /** What was left out since the start. */
  skipped(): InspectionSkipped;
  /** Ends it; what waits is thrown away. */
  stop(): void;
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

  const openStream = (source: FrameSource) => inspector.stream(source);
  const inspect = (piece: Piece): void => {
    if (piece.type === 'packet') {
      inspector.packet(piece.source, piece.bytes);
      return;
    }
    if (piece.type === 'stream_end') piece.stream.end(piece.complete);
    else piece.stream.push(piece.bytes, openStream);
  };
  const remove = pump.add({ lanes, bytesPerSecond, inspect });

  return {
    room: (rejected, bytes) => (rejected ? packets.rejected : packets.own).room(bytes),
    packet: (source, memory, at, end) => void packets[shareOf(source)].packet(source, memory.subarray(at, end)),
    stream(source) {
      const share = shareOf(source);
      if (!open[share].take(source.peer.address)) {
        left.streams_limit++;
        return undefined;
      }
      const copy = { ...source, label: Uint8Array.from(source.label) };
      const onEnd = () => open[share].leave(source.peer.address);
      const stream = new InspectedStream(copy, { onSatisfied: () => undefined, onEnd });
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

/** A stream whose bytes find no room is inspected as far as it got: what comes later would be out of context. */
function createTap(stream: InspectedStream, lane: MemoryLane, onCutShort: () => void): StreamTap {
  let cutShort = false;
  let ended = false;
  return {
    push(chunk) {
      if (cutShort || ended || stream.satisfied) return false;
      if (chunk.length === 0 || lane.stream(stream, chunk)) return true;
      cutShort = true;
      onCutShort();
      return false;
    },
    end(complete) {
      if (ended) return;
      ended = true;
      lane.streamEnd(stream, complete && !cutShort);
    },
  };
}
