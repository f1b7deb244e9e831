/** What becomes of a stream that the kernel rules brought to the proxy port: its direction, and the way to the other side. */
import type { Endpoint, FenceContext } from '../engine.ts';
import { refuseUnread } from '../judge.ts';
import type { TcpSource } from '../options.ts';
import type { Resettable } from '../socket.ts';
import type { Streams } from '../streams.ts';
import { createLocalAddresses } from './local-addresses.ts';

export interface Diallers<S extends Resettable> {
  /** `from`: the local address to use, when the kernel's choice would not do. */
  plain(to: Endpoint, from?: string): S;
  /** Connects to the app at `app`, bound to `peer`'s address. `busy` tells source ports that the peer itself uses now. */
  asPeer(peer: string, app: Endpoint, busy: (port: number) => boolean): S;
}

export interface InterceptedOptions<S extends Resettable> {
  readonly proxyPort: number;
  readonly tcpSource: TcpSource;
  readonly diallers: Diallers<S>;
  readonly streams: Streams<S>;
}

/** Tells each connection's direction and hands it to the stream engine. `destination`: where it was dialled to before tproxy. */
export type TakeIntercepted<S extends Resettable> = (socket: S, source: Endpoint, destination: Endpoint) => void;

export function createInterceptedStreams<S extends Resettable>(
  context: FenceContext,
  { proxyPort, tcpSource, diallers, streams }: InterceptedOptions<S>,
): TakeIntercepted<S> {
  const local = createLocalAddresses(context.now);
  /**
   * Streams that are open by `address port` of the peer: a connection under a peer's address must not take one's port. A peer may use one again
   * while the app's side of the former stream is still open.
   */
  const open = new Map<string, number>();
  const toApp = (peer: Endpoint, app: Endpoint): S => {
    // The app's own connection to itself passes the rules; one from a local address is not a peer's to imitate.
    if (tcpSource === 'pod' || local.has(peer.address)) return diallers.plain(app);
    return diallers.asPeer(peer.address, app, (port) => open.has(`${peer.address} ${port}`));
  };
  return (socket, source, destination) => {
    if (destination.port === proxyPort) return refuseDirect(context, socket, source);
    if (local.inbound(source.address, destination.address)) {
      const key = `${source.address} ${source.port}`;
      open.set(key, (open.get(key) ?? 0) + 1);
      const onClosed = (): void => {
        const left = (open.get(key) ?? 1) - 1;
        if (left > 0) open.set(key, left);
        else open.delete(key);
      };
      streams.accept(socket, { direction: 'inbound', peer: source, dial: () => toApp(source, destination), onClosed });
      return;
    }
    const family = destination.address.includes(':') ? 'IPv6' : 'IPv4';
    // With several addresses the kernel's choice may not be the one that the app dialled from and is known by.
    const from = local.several(family) ? source.address : undefined;
    const dial = () => diallers.plain(destination, from);
    streams.accept(socket, { direction: 'outbound', peer: destination, dial });
  };
}

function refuseDirect(context: FenceContext, socket: Resettable, source: Endpoint): void {
  const where = { direction: 'inbound', transport: 'unknown', kind: 'stream' } as const;
  refuseUnread(context, { ...where, labelState: 'opaque', peer: source, bytes: 0 }, 'not_intercepted');
  socket.resetAndDestroy();
}
