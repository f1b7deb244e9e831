/** The stream engine over node's sockets: TLS and Alertmanager's connections too. */
import type { Socket } from 'node:net';
import { AlertmanagerConnection } from './alertmanager.ts';
import { type AppHealth, createAppHealth } from './app-health.ts';
import type { AcceptedStream, FenceContext, StreamSettings } from './engine.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeParts } from './exchange-rules.ts';
import { NodeSocket } from './node-sockets.ts';
import { nodeMd5 } from './packet-look.ts';
import { type Connection, type Streams, streamsOf } from './streams.ts';
import { NODE_TIMERS } from './timers.ts';
import { TlsConnection } from './tls.ts';

/** Makes the stream engine of one fence. `health` is shared with whoever else dials the app. */
export function createNodeStreams(
  context: FenceContext,
  settings: StreamSettings,
  health: AppHealth = createAppHealth(context),
): Streams<Socket> {
  const { tls: terms, transport } = settings;
  const plain = (parts: ExchangeParts, socket: Socket, stream: AcceptedStream<Socket>): Connection => {
    const { direction, peer } = stream;
    const dial = () => new NodeSocket(stream.dial());
    // Paused: one inside TLS would flow as soon as somebody listens.
    const exchange = () => new Exchange(parts, new NodeSocket(socket.pause()), { direction, peer, dial });
    if (transport !== 'alertmanager') return exchange();
    return new AlertmanagerConnection(parts, socket, stream, exchange);
  };
  const streams = streamsOf(
    { context, settings, health, timers: NODE_TIMERS, md5: nodeMd5 },
    (parts, socket: Socket, stream) => {
      if (terms === undefined) return plain(parts, socket, stream);
      const inner = (tls: Socket, within: AcceptedStream<Socket>) => plain(parts, tls, within);
      return new TlsConnection({ context, settings, terms, inner }, socket, stream);
    },
  );
  return {
    ...streams,
    accept(socket, stream) {
      // Reported by 'close'; without a listener a reset would end the process.
      socket.on('error', () => undefined);
      streams.accept(socket, stream);
    },
  };
}
