/** The TCP side of interception: transparent listeners whose connections carry their original destination as local address. */
import net from 'node:net';
import { StartError } from '../engine.ts';
import type { TakeIntercepted } from './intercepted-streams.ts';
import { plainAddress } from './local-addresses.ts';
import { openStreamSocket } from './proxy-sockets.ts';
import type { Syscalls } from './syscalls.ts';

/** Connections that the kernel holds before node takes them. */
const BACKLOG = 1_024;

export interface ProxyListener {
  close(): void;
}

/** Listens on the proxy port of both families, or of IPv4 alone. Rejects with a StartError. */
export async function listenForStreams(
  calls: Syscalls,
  options: { readonly proxyPort: number; readonly ipv6: boolean },
  onStream: TakeIntercepted<net.Socket>,
): Promise<ProxyListener> {
  const servers: net.Server[] = [];
  const close = () => {
    for (const server of servers) server.close();
  };
  try {
    for (const family of options.ipv6 ? ([4, 6] as const) : ([4] as const)) {
      const fd = openStreamSocket(calls, family, options.proxyPort);
      servers.push(await listen(fd, options.proxyPort, onStream));
    }
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

function listen(fd: number, proxyPort: number, onStream: TakeIntercepted<net.Socket>): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    // Undefined when the connection was reset before it was taken.
    if (!localAddress || !localPort || !remoteAddress || !remotePort) return void socket.destroy();
    // Without a listener a reset would end the process.
    socket.on('error', () => undefined);
    const source = { address: plainAddress(remoteAddress), port: remotePort };
    onStream(socket, source, { address: plainAddress(localAddress), port: localPort });
  });
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      server.close();
      const inUse = cause.code === 'EADDRINUSE';
      const why = inUse ? 'is in use: another fence has the proxy port' : `cannot be listened on: ${cause.message}`;
      reject(new StartError(inUse ? 'port_in_use' : 'socket_failed', `TCP port ${proxyPort} ${why}`, { cause }));
    });
    server.listen({ fd, backlog: BACKLOG }, () => {
      server.removeAllListeners('error');
      // Out of file descriptors, for one: the connection is lost, the listener stays.
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}
