/** Labelled pings by datagram: one socket a family for each round, so that no answer of an earlier one can be taken for a later one's. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Clock } from '../control/clock.ts';
import type { PingResult, ProbeTarget } from '../control/prober.ts';
import { endpointOf } from '../datapath/endpoint.ts';
import { numericLookup } from '../datapath/sessions.ts';
import { patience } from './patience.ts';
import { resultOfError, SILENT, UNABLE } from './ping-faults.ts';
import type { PingFrames } from './ping-frames.ts';

export const PACKET_WAIT_MS = 1_000;

/** Datagrams of the target that are read while its answer is awaited: it has one to send, and gossip may ride along. */
const READ_MAX = 8;

export interface PacketPingsOptions {
  readonly clock: Clock;
  readonly frames: PingFrames;
  /** Bound to; undefined: the system's choice. Used for its family only. */
  readonly localAddress: string | undefined;
  nextSeqNo(): number;
  /** Told before a datagram leaves. */
  sent(target: ProbeTarget): void;
  /** Whether an answer of the target reaches us as it was sent. */
  seesLabel(target: ProbeTarget): boolean;
}

export interface PacketPings {
  /** Settles within a few times PACKET_WAIT_MS; never rejects. One at a time for each address and port: a second is `unable`. */
  ping(target: ProbeTarget): Promise<PingResult>;
  close(): void;
}

interface Waiting {
  readonly seqNo: number;
  readonly socket: Socket;
  /** A datagram of the target. */
  take(datagram: Uint8Array): void;
  settle(result: PingResult): void;
}

/** Opens nothing yet: a socket comes with the first ping of its family. */
export function createPacketPings(options: PacketPingsOptions): PacketPings {
  const { clock, frames, localAddress, nextSeqNo, sent, seesLabel } = options;
  const sockets = new Map<4 | 6, Socket | undefined>();
  const waiting = new Map<string, Waiting>();
  let closed = false;

  /** Undefined when it cannot be bound: some failures are told at once. */
  const open = (family: 4 | 6): Socket | undefined => {
    const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', lookup: numericLookup });
    socket.on('message', (datagram: Uint8Array, from: RemoteInfo) => {
      // memberlist answers from its gossip port, which is where the ping went.
      const { address, port } = endpointOf(from.address, from.port);
      waiting.get(`${address} ${port}`)?.take(datagram);
    });
    socket.on('error', () => {
      if (sockets.get(family) !== socket) return;
      sockets.set(family, undefined);
      for (const each of [...waiting.values()]) if (each.socket === socket) each.settle(UNABLE);
      socket.close();
    });
    const isOurs = localAddress !== undefined && isIPv6(localAddress) === (family === 6);
    sockets.set(family, socket);
    socket.bind({ port: 0, exclusive: true, ...(isOurs ? { address: localAddress } : {}) });
    return sockets.get(family);
  };

  return {
    ping(target) {
      const key = `${target.address} ${target.port}`;
      const family = isIPv6(target.address) ? 6 : 4;
      // A family whose socket failed is not tried again in this round.
      const socket = sockets.has(family) || closed ? sockets.get(family) : open(family);
      if (socket === undefined || waiting.has(key)) return Promise.resolve(UNABLE);
      return new Promise((resolve) => {
        const seqNo = nextSeqNo();
        let left = READ_MAX;
        const settle = (result: PingResult) => {
          cancel();
          waiting.delete(key);
          resolve(result);
        };
        const cancel = patience(clock, PACKET_WAIT_MS, (heard) => settle(heard ? SILENT : UNABLE));
        const take = (datagram: Uint8Array) => {
          if (left-- <= 0) return;
          const label = frames.packetAnswer(datagram, seqNo);
          if (label !== undefined) settle({ outcome: 'answered', label: seesLabel(target) ? label : undefined });
        };
        waiting.set(key, { seqNo, socket, take, settle });
        sent(target);
        const datagram = frames.packet({ seqNo, node: target.name ?? '' });
        try {
          socket.send(datagram, target.port, target.address, (error) => {
            if (error !== null && waiting.get(key)?.seqNo === seqNo) settle(resultOfError(error));
          });
        } catch {
          // A socket that failed meanwhile.
          settle(UNABLE);
        }
      });
    },
    close() {
      closed = true;
      for (const each of [...waiting.values()]) each.settle(UNABLE);
      for (const socket of sockets.values()) socket?.close();
      sockets.clear();
    },
  };
}
