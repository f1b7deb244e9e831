/** What the pinger's tests share: pingers with real contexts, and members that are made up, on loopback. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/cli/clock.ts';
import { createPinger, type PingerOptions } from '../../src/cli/pinger.ts';
import type { FenceConfig } from '../../src/config/types.ts';
import type { PingRound } from '../../src/control/prober.ts';
import { encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { decodeMessage, encodeMessage, type MessageOf } from '../../src/wire/messages.ts';
import { makeContext, OWN } from '../datapath/harness.ts';

export const OWN_HEADER = encodeLabelHeader(OWN);
export const LISTEN: FenceConfig['mode'] = {
  kind: 'listen',
  listen: { address: '127.0.0.1', port: 7946 },
  app: { address: '127.0.0.1', port: 7947 },
};
export const TRANSPARENT = (port: number): FenceConfig['mode'] => ({
  ...{ kind: 'transparent', port, peerPorts: [], proxyPort: 17946, uid: 7946, tcpSource: 'peer', whenDown: 'closed' },
});
export const DIALECTS = { sends: 'none', takes: 'none', wire: 'none' } as const;

export const SILENT = { outcome: 'silent' };
export const UNABLE = { outcome: 'unable' };
export const answered = (label: 'own' | 'none' | undefined) => ({ outcome: 'answered', label });

export function pingerOf(more: Partial<PingerOptions> & { mode?: FenceConfig['mode'] } = {}) {
  const { context } = makeContext();
  const config = { mode: more.mode ?? LISTEN, dialects: DIALECTS, encryption: { keyFiles: [], reseal: false } };
  const streams = { transport: 'native' } as const;
  const options = { config, context, streams, clock: SYSTEM_CLOCK, tallies: () => [], ...more };
  return { context: options.context, pinger: createPinger(options) };
}

/** A round of a pinger, closed with the test. */
export function roundOf(t: Test, more: Parameters<typeof pingerOf>[0] = {}) {
  const { context, pinger } = pingerOf(more);
  const round = pinger.round() as PingRound;
  t.teardown(() => round.close());
  const packet = round.packet as NonNullable<PingRound['packet']>;
  return { context, packet, stream: round.stream.bind(round), close: () => round.close() };
}

export const target = (port: number, name: string | undefined = 'm') => ({ name, address: '127.0.0.1', port });

export function pingIn(frame: Uint8Array): MessageOf<'ping'> {
  const peeked = peekPacketLabel(frame);
  const message = peeked.ok ? decodeMessage(frame.subarray(peeked.value.bodyAt)) : peeked;
  if (!message.ok || message.value.type !== 'ping') throw new Error('no ping');
  return message.value;
}

export const ack = (SeqNo: number) => encodeMessage({ type: 'ackResp', SeqNo, Payload: new Uint8Array(0) });

export async function udp(
  t: Test,
  answer: (frame: Buffer, from: RemoteInfo, socket: UdpSocket) => void,
): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (frame, from) => answer(frame, from, socket));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return socket.address().port;
}

/** A member that answers datagrams with what `made` makes of a ping. */
export const member = (t: Test, made: (ping: MessageOf<'ping'>) => readonly Uint8Array[]) =>
  udp(t, (frame, { port, address }, socket) => {
    for (const datagram of made(pingIn(frame))) socket.send(datagram, port, address);
  });

export async function tcp(t: Test, answer: (frame: Buffer, socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (frame) => answer(frame, socket));
    t.teardown(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}
