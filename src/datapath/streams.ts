/** The stream engine, shared by every data path: bounds and counts of open connections, and what becomes of each. */
import type { LimitedReason } from '../policy/reason.ts';
import { encodeLabelHeader } from '../wire/label.ts';
import { type AppHealth, createAppHealth } from './app-health.ts';
import { AnnouncedBudget, HoldBudget, type StreamBudgets } from './budget.ts';
import { reset } from './endings.ts';
import type { AcceptedStream, FenceContext, PathLimits, StreamSettings } from './engine.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeParts } from './exchange-rules.ts';
import { refuseUnread } from './judge.ts';
import { type Md5, nodeMd5 } from './packet-look.ts';
import { createPeerCache } from './peer-cache.ts';
import type { Resettable, StreamSocket } from './socket.ts';
import { NODE_TIMERS, type Timers } from './timers.ts';
import { INSPECTED_PACKET_MAX_BYTES } from './watch.ts';

/** Something that owns a connection from its first byte to its last. */
export interface Connection {
  /** Starts reading; `onDone` is called once, when every socket of it has closed. */
  start(onDone: () => void): void;
  /** Resets both sides now. */
  cut(): void;
}

export interface Streams<S extends Resettable = StreamSocket> {
  /**
   * Takes a connection over, of which nothing was read yet. One of node's must come from a server made with
   * `{ allowHalfOpen: true, pauseOnConnect: true }`: without the first a half-close is lost, without the second bytes can be.
   */
  accept(socket: S, stream: AcceptedStream<S>): void;
  /** Open streams, those being rejected included. */
  counts(): { readonly inbound: number; readonly outbound: number };
  /** Whether the app took the last inbound stream that was dialled through; undefined before the first. */
  appUp(): boolean | undefined;
  /** Resets every open stream and returns how many there were. */
  stop(): number;
}

/** Bytes of dskit packets that are collected at once for inspection alone; what has no room is not inspected. */
const WATCHED_PACKETS_BYTES = 16 * 1024 * 1024;

/**
 * Makes the stream engine of one fence, for connections that the fence opens no TLS on and that are not Alertmanager's. `health` is
 * shared with whoever else dials the app.
 */
export function createStreams(
  context: FenceContext,
  settings: StreamSettings,
  health: AppHealth = createAppHealth(context),
  timers: Timers = NODE_TIMERS,
  md5: Md5 = nodeMd5,
): Streams {
  return streamsOf(
    { context, settings, health, timers, md5 },
    (parts, socket, stream) => new Exchange(parts, socket, stream),
  );
}

/** The same of any kind of connection: `connection` makes what owns one. */
export function streamsOf<S extends Resettable>(
  common: Omit<ExchangeParts, 'labelHeader' | 'budgets' | 'peers'>,
  connection: (parts: ExchangeParts, socket: S, stream: AcceptedStream<S>) => Connection,
): Streams<S> {
  const { context, settings, health } = common;
  const labelHeader = encodeLabelHeader(context.label);
  const partsOf = () => ({ ...common, labelHeader, peers: createPeerCache(), budgets: createBudgets(settings.limits) });
  const parts = { inbound: partsOf(), outbound: partsOf() };
  // An array, each at its place: the tables that a Set leaves behind as it changes keep what was in them alive until the whole heap is collected.
  const open: { readonly connection: Connection; at: number }[] = [];
  const ofPeers = { inbound: new Map<string, number>(), outbound: new Map<string, number>() };
  const counts = { inbound: 0, outbound: 0 };

  const refuse = (socket: S, { direction, peer, onClosed }: AcceptedStream<S>, reason: LimitedReason): void => {
    // Not a byte of it was read: as little is known of its label as of TLS.
    refuseUnread(
      context,
      { direction, transport: 'unknown', kind: 'stream', labelState: 'opaque', peer, bytes: 0 },
      reason,
    );
    reset(socket);
    onClosed?.();
  };

  return {
    accept(socket, stream) {
      const { direction, peer } = stream;
      if (socket.destroyed) {
        stream.onClosed?.();
        return;
      }
      // A budget for each direction: strangers that hold connections open must not keep the app from dialling its peers.
      const ofPeer = ofPeers[direction];
      const { address } = peer;
      const peerStreams = ofPeer.get(address) ?? 0;
      if (counts[direction] >= settings.limits.streams) return refuse(socket, stream, 'streams_limit');
      if (peerStreams >= settings.limits.streamsPerPeer) return refuse(socket, stream, 'peer_streams_limit');
      const exchange = connection(parts[direction], socket, stream);
      const entry = { connection: exchange, at: open.length };
      open.push(entry);
      ofPeer.set(address, peerStreams + 1);
      counts[direction]++;
      exchange.start(() => {
        const last = open.pop();
        if (last !== undefined && last !== entry) {
          open[entry.at] = last;
          last.at = entry.at;
        }
        counts[direction]--;
        const left = (ofPeer.get(address) ?? 1) - 1;
        if (left > 0) ofPeer.set(address, left);
        else ofPeer.delete(address);
        stream.onClosed?.();
      });
    },
    counts: () => ({ ...counts }),
    appUp: () => health.up(),
    stop() {
      const cut = open.length;
      for (const { connection } of [...open]) connection.cut();
      return cut;
    },
  };
}

function createBudgets({ holdBytes, holdBytesTotal, announcedBytes }: PathLimits): StreamBudgets {
  const watched = () => new HoldBudget(WATCHED_PACKETS_BYTES, INSPECTED_PACKET_MAX_BYTES);
  return {
    held: new HoldBudget(holdBytesTotal, holdBytes),
    announced: new AnnouncedBudget(announcedBytes),
    watched: watched(),
    watchedRejected: watched(),
  };
}
