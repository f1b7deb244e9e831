/** The way of a datagram through the transparent path: received with its original destination, judged, rewritten, sent on. */
import { formatAddress, isV4Mapped } from '../../wire/address.ts';
import type { Endpoint, FenceContext } from '../engine.ts';
import { type Keep, refuseUnread } from '../judge.ts';
import { createPacketGate, type PacketGate } from '../packet-gate.ts';
import { createPacketPeer } from '../packet-peer.ts';
import { createTokenBucket } from '../token-bucket.ts';
import type { LocalAddresses } from './local-addresses.ts';
import type { PacketSender } from './packet-sender.ts';
import type { Received } from './receive.ts';
import { NONCE_BYTES, TEST_ADDRESSES } from './self-test.ts';

/** Send failures that are reported as faults; the counters have them all. */
const FAULT_BURST = 5;
const FAULTS_PER_SECOND = 0.1;

const NO_BYTES = new Uint8Array(0);

export interface PacketPathOptions {
  readonly proxyPort: number;
  readonly senders: { readonly 4: PacketSender; readonly 6: PacketSender | undefined };
  readonly local: LocalAddresses;
  /** A datagram to a test address, NONCE_BYTES long; true when it was the self-test's. */
  onTestDatagram(family: 4 | 6, payload: Uint8Array): boolean;
}

export interface PacketPath {
  /** Handles one datagram to its end, or keeps a copy that waits (context.doubts). `arrivedMs`: when its batch was there, by the context's clock. */
  handle(datagram: Received, arrivedMs: number): void;
}

/** Where a datagram goes, and since when it is here. */
interface Way {
  readonly to: string;
  readonly inbound: boolean;
  readonly peer: Endpoint;
  readonly arrivedMs: number;
}

/** The memory of a batch is the next one's. */
function copyOf({ source, destination, payload }: Received): Received {
  return {
    source: { ...source, address: Uint8Array.from(source.address) },
    destination: { ...destination, address: Uint8Array.from(destination.address) },
    payload: Buffer.from(payload),
  };
}

export function createPacketPath(context: FenceContext, options: PacketPathOptions): PacketPath {
  const { senders, local, proxyPort } = options;
  const gates = {
    inbound: createPacketGate(context, 'inbound', 'native'),
    outbound: createPacketGate(context, 'outbound', 'native'),
  };
  const faults = createTokenBucket(FAULT_BURST, FAULTS_PER_SECOND);

  const refuseDirect = ({ source, payload }: Received) => {
    const peer = { address: formatAddress(source.address), port: source.port };
    const where = { direction: 'inbound', transport: 'native', kind: 'packet' } as const;
    refuseUnread(context, { ...where, labelState: 'none', peer, bytes: payload.length }, 'not_intercepted');
  };

  const forward = (datagram: Received, to: string, gate: PacketGate, inbound: boolean): boolean => {
    const { source, destination, payload } = datagram;
    const family = isV4Mapped(destination.address) ? 4 : 6;
    const nowMs = context.now();
    const result = senders[family]?.send(
      {
        family,
        source: source.address,
        sourcePort: source.port,
        destination: destination.address,
        destinationPort: destination.port,
      },
      to,
      destination.scope,
      gate.prefixed ? gate.header : NO_BYTES,
      gate.memory.subarray(gate.at, gate.at + gate.length),
      nowMs,
    );
    if (result === undefined) return false;
    if (result.oversize) context.tally.oversize();
    if (result.failure === undefined) return true;
    context.tally.dropped(result.failure === 'peer_unreachable' && inbound ? 'app_unreachable' : result.failure);
    if (faults.take(nowMs)) {
      const message = `a datagram of ${payload.length} bytes to ${to} was not sent: ${result.errno}`;
      context.onFault({ code: 'packet_send_failed', message });
    }
    return false;
  };

  const take = (datagram: Received, way: Way, nowMs: number, keep?: Keep): void => {
    const { to, inbound, peer, arrivedMs } = way;
    const direction = inbound ? 'inbound' : 'outbound';
    const gate = gates[direction];
    const { payload } = datagram;
    if (!gate.pass(payload, 0, payload.length, createPacketPeer(peer.address, peer.port), nowMs, keep)) return;
    if (forward(datagram, to, gate, inbound)) {
      context.tally.forwarded(direction, 'packet', Math.max(0, context.now() - arrivedMs) / 1_000);
    }
  };

  return {
    handle(datagram, arrivedMs) {
      const { source, destination, payload } = datagram;
      if (destination.port === proxyPort) return refuseDirect(datagram);
      const to = formatAddress(destination.address);
      if (payload.length === NONCE_BYTES) {
        const family = to === TEST_ADDRESSES[4] ? 4 : to === TEST_ADDRESSES[6] ? 6 : undefined;
        if (family !== undefined && options.onTestDatagram(family, payload)) return;
      }
      const from = formatAddress(source.address);
      const inbound = local.inbound(from, to);
      const peer = inbound ? { address: from, port: source.port } : { address: to, port: destination.port };
      const way = { to, inbound, peer, arrivedMs };
      take(datagram, way, arrivedMs, () => {
        const kept = copyOf(datagram);
        return () => take(kept, way, context.now());
      });
    },
  };
}
