/**
 * A small memberlist member: joins, gossips, probes, refutes, syncs and leaves on the real wire, as far as a ring of stock members
 * needs. It predates labels: a labelled frame is an unknown message to it. Not here: encryption, delegates, awareness (the
 * self-doubt that stretches probe times).
 */
import type { Socket } from 'node:net';
import type { Endpoint } from '../datapath/engine.ts';
import { createAcks } from './acks.ts';
import { createBroadcasts } from './broadcasts.ts';
import { pushPull, serveStream } from './exchange.ts';
import { startLoops } from './loops.ts';
import { receivePacket } from './packets.ts';
import { type MemberSettings, STREAMS_MAX } from './settings.ts';
import { type Member, MemberTable, type TableEvent } from './table.ts';
import type { Arrivals, Transport } from './transport.ts';

export interface EmbeddedMember {
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Every member that is known, itself included, dead ones too. A copy of the list of live objects. */
  members(): readonly Member[];
  /** Exchanges tables with the member at `to`, as a join; resolves with how many states it sent. Rejects with an ExchangeError. */
  join(to: Endpoint): Promise<number>;
  /** Says goodbye within `timeoutMs`, then stops. */
  leave(timeoutMs: number): Promise<void>;
  /** Stops at once, as a killed process would. */
  stop(): Promise<void>;
}

/** Makes the transport of a member, which hands `arrivals` what arrives. */
export type TransportMaker = (arrivals: Arrivals) => Promise<Transport>;

/** Starts a member. Rejects with the transport's error when that cannot start. */
export async function startMember(
  settings: MemberSettings,
  makeTransport: TransportMaker,
  onEvent: (event: TableEvent) => void,
): Promise<EmbeddedMember> {
  const { timing, name, advertise } = settings;
  const broadcasts = createBroadcasts(() => table.size);
  const table: MemberTable = new MemberTable({ settings, broadcast: broadcasts.queue, onEvent });
  let streams = 0;
  const serve = (socket: Socket) => {
    if (streams >= STREAMS_MAX) return void socket.destroy();
    streams++;
    socket.on('close', () => streams--);
    void serveStream(socket, host);
  };
  let transport: Transport | undefined;
  const host = {
    settings,
    table,
    acks: createAcks(),
    broadcasts,
    streamTimeoutMs: timing.streamTimeoutMs,
    transport: () => ready(transport),
    dial: (to: Endpoint) => ready(transport).dial(to),
  };
  transport = await makeTransport({
    // A packet may come before the transport is handed back: it is lost, as before a start.
    packet: (packet, from) => (transport === undefined ? undefined : receivePacket(host, packet, from)),
    stream: serve,
  });

  const stopLoops = startLoops(host);
  const stop = async () => {
    stopLoops();
    table.stop();
    host.acks.stop();
    await host.transport().stop();
  };
  return {
    name,
    endpoint: advertise,
    members: () => table.all(),
    join: (to) => pushPull(to, true, host),
    async leave(timeoutMs) {
      await within(table.leave(), timeoutMs);
      await stop();
    },
    stop,
  };
}

/** Resolves with `promise`, or after `timeoutMs`. */
async function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}

function ready(transport: Transport | undefined): Transport {
  if (transport === undefined) throw new Error('the member is not started yet');
  return transport;
}
