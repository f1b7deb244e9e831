/**
 * The fence's own connections over node:net: to the app, under the peer's address or the pod's, and to peers. All return a socket that
 * is connecting; a failure, at once or later, is its 'error' event.
 */
import net from 'node:net';
import type { Endpoint } from '../engine.ts';
import type { Diallers } from './intercepted-streams.ts';
import type { PeerBinder } from './peer-bind.ts';

/** Plain connections. `from`: the local address to use, when the kernel's choice would not do. */
export function dialPlain(to: Endpoint, from?: string): net.Socket {
  const options = { host: to.address, port: to.port, allowHalfOpen: true };
  return net.connect(from === undefined ? options : { ...options, localAddress: from });
}

export function nodeDiallers(bind: PeerBinder): Diallers<net.Socket> {
  return {
    plain: dialPlain,
    asPeer(peer, app, busy) {
      try {
        const options = {
          fd: bind(peer, busy),
          allowHalfOpen: true,
          readable: true,
          writable: true,
          manualStart: true,
        };
        return new net.Socket(options).connect(app.port, app.address);
      } catch (error) {
        const failed = new net.Socket({ allowHalfOpen: true });
        failed.destroy(error as Error);
        return failed;
      }
    },
  };
}
