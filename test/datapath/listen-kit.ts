/** What the tests of listen paths share: an app, a peer, and the datagrams of a fence on either engine, over the same context. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import type { PathLimits } from '../../src/datapath/engine.ts';
import { openListenPackets } from '../../src/datapath/linux/listen-packets.ts';
import { createListenPath } from '../../src/datapath/listen.ts';
import type { EngineName } from '../lab/engines.ts';
import { LIMITS, startRecorder, type TestContext } from './harness.ts';
import { type TurnedLoop, turnLoop } from './linux/loop-kit.ts';

export const STRANGERS = [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' } as const];

export interface Datagrams {
  readonly socket: UdpSocket;
  readonly port: number;
  readonly got: { bytes: Buffer; from: RemoteInfo }[];
}

export async function startUdp(host = '127.0.0.1', port = 0): Promise<Datagrams> {
  const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 * 1024 * 1024 });
  const got: Datagrams['got'] = [];
  socket.on('message', (bytes, from) => got.push({ bytes, from }));
  socket.on('error', () => undefined);
  socket.bind(port, host);
  await once(socket, 'listening');
  return { socket, port: socket.address().port, got };
}

/** An app on one port for both protocols, as memberlist is. */
export async function startApp(host = '127.0.0.1') {
  for (;;) {
    const tcp = await startRecorder(({ socket }) => socket.on('end', () => socket.end('answer')), host);
    try {
      const udp = await startUdp(host, tcp.port);
      return {
        port: tcp.port,
        tcp,
        udp,
        async close() {
          udp.socket.close();
          await tcp.close();
        },
      };
    } catch {
      await tcp.close();
    }
  }
}

/** The datagrams of a listen fence. */
export interface DatagramPath {
  readonly port: number;
  sessions(): number;
  evictions(): number;
  stop(): Promise<{ readonly sessions: number }>;
}

export interface DatagramOptions {
  readonly host?: string;
  readonly app: { readonly address: string; readonly port: number };
  readonly limits?: Partial<PathLimits>;
}

/** One loop for the tests of a process, as a process has one engine thread. */
let turned: Promise<TurnedLoop> | undefined;

export async function stopLoop(): Promise<void> {
  (await turned)?.stop();
  turned = undefined;
}

export async function startDatagrams(
  engine: EngineName,
  made: TestContext,
  { host = '127.0.0.1', app, limits }: DatagramOptions,
): Promise<DatagramPath> {
  const listen = { address: host, port: 0 };
  const all = { ...LIMITS, ...limits };
  if (engine === 'linux') {
    turned ??= turnLoop();
    const packets = openListenPackets({ context: made.context, ...(await turned), listen, app, limits: all });
    return {
      port: packets.at.port,
      sessions: () => packets.sessions(),
      evictions: () => packets.sessionEvictions(),
      stop: async () => ({ sessions: packets.stop() }),
    };
  }
  const path = createListenPath(made.context, {
    listen,
    app,
    streams: { transport: 'auto', rejectStreams: 'explain', limits: all },
  });
  await path.start();
  return {
    port: path.listening().port,
    sessions: () => path.counts().sessions,
    evictions: () => path.counts().sessionEvictions,
    stop: () => path.stop(),
  };
}
