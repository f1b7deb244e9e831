/** The stream engine, shared by every data path that takes TCP through node:net. */
import type { Socket } from 'node:net';
import type { LimitedReason } from '../policy/reason.ts';
import { encodeLabelHeader } from '../wire/label.ts';
import { AlertmanagerConnection } from './alertmanager.ts';
import { type AppHealth, createAppHealth } from './app-health.ts';
import { AnnouncedBudget, HoldBudget, type StreamBudgets } from './budget.ts';
import type { AcceptedStream, FenceContext, PathLimits, StreamSettings } from './engine.ts';
import { Exchange } from './exchange.ts';
import { refuseUnread } from './judge.ts';
import { reset } from './relay.ts';
import { type Connection, TlsConnection } from './tls.ts';
import { INSPECTED_PACKET_MAX_BYTES } from './watch.ts';

export interface Streams {
  /**
   * Takes a connection over. It must come from a server made with `{ allowHalfOpen: true, pauseOnConnect: true }`: without the first
   * a half-close is lost, without the second bytes can be.
   */
  accept(socket: Socket, stream: AcceptedStream): void;
  /** Open streams, those being rejected included. */
  counts(): { readonly inbound: number; readonly outbound: number };
  /** Whether the app took the last inbound stream that was dialled through; undefined before the first. */
  appUp(): boolean | undefined;
  /** Resets every open stream and returns how many there were. */
  stop(): number;
}

/** Bytes of dskit packets that are collected at once for inspection alone; what has no room is not inspected. */
const WATCHED_PACKETS_BYTES = 16 * 1024 * 1024;

/** Makes the stream engine of one fence. `health` is shared with whoever else dials the app. */
export function createStreams(
  context: FenceContext,
  settings: StreamSettings,
  health: AppHealth = createAppHealth(context),
): Streams {
  const labelHeader = encodeLabelHeader(context.label);
  const partsOf = () => ({ context, settings, health, labelHeader, budgets: createBudgets(settings.limits) });
  const parts = { inbound: partsOf(), outbound: partsOf() };
  const open = new Set<Connection>();
  const ofPeer = new Map<string, number>();
  const counts = { inbound: 0, outbound: 0 };

  const refuse = (socket: Socket, { direction, peer }: AcceptedStream, reason: LimitedReason): void => {
    // Not a byte of it was read: as little is known of its label as of TLS.
    refuseUnread(
      context,
      { direction, transport: 'unknown', kind: 'stream', labelState: 'opaque', peer, bytes: 0 },
      reason,
    );
    reset(socket);
  };

  const plain = (socket: Socket, stream: AcceptedStream): Connection => {
    const ofDirection = parts[stream.direction];
    const exchange = () => new Exchange(ofDirection, socket, stream);
    if (settings.transport !== 'alertmanager') return exchange();
    return new AlertmanagerConnection(ofDirection, socket, stream, exchange);
  };
  const connection = (socket: Socket, stream: AcceptedStream): Connection => {
    const { tls: terms } = settings;
    if (terms === undefined) return plain(socket, stream);
    return new TlsConnection({ context, settings, terms, inner: plain }, socket, stream);
  };

  return {
    accept(socket, stream) {
      // Reported by 'close'; without a listener a reset would end the process.
      socket.on('error', () => undefined);
      if (socket.destroyed) return;
      const { direction, peer } = stream;
      // A budget for each direction: strangers that hold connections open must not keep the app from dialling its peers.
      const key = `${direction} ${peer.address}`;
      const peerStreams = ofPeer.get(key) ?? 0;
      if (counts[direction] >= settings.limits.streams) return refuse(socket, stream, 'streams_limit');
      if (peerStreams >= settings.limits.streamsPerPeer) return refuse(socket, stream, 'peer_streams_limit');
      const exchange = connection(socket, stream);
      open.add(exchange);
      ofPeer.set(key, peerStreams + 1);
      counts[direction]++;
      exchange.start(() => {
        open.delete(exchange);
        counts[direction]--;
        const left = (ofPeer.get(key) ?? 1) - 1;
        if (left > 0) ofPeer.set(key, left);
        else ofPeer.delete(key);
      });
    },
    counts: () => ({ ...counts }),
    appUp: () => health.up(),
    stop() {
      const cut = open.size;
      for (const exchange of open) exchange.cut();
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
