/** One labelled ping on a fresh connection, as memberlist's own ping over TCP (net.go `sendPingAndWaitForAck`). */
import { connect, isIPv6, type Socket } from 'node:net';
import type { Clock } from '../control/clock.ts';
import type { PingResult, ProbeTarget } from '../control/prober.ts';
import { numericLookup } from '../datapath/sessions.ts';
import { dialTls, type TlsTerms } from '../datapath/tls-socket.ts';
import { encodeAlertmanagerFrame } from '../wire/alertmanager.ts';
import { DSKIT_STREAM } from '../wire/transport.ts';
import { patience } from './patience.ts';
import { resultOfError, SILENT, UNABLE } from './ping-faults.ts';
import type { PingFrames } from './ping-frames.ts';

/** From dialling to the answer. */
export const STREAM_WAIT_MS = 3_000;

/** An answer is a dozen bytes, some fifty when it is sealed; more is something else. */
const READ_MAX_BYTES = 4 * 1024;

const NO_BYTES = new Uint8Array(0);

/** What a connection speaks: what can be asked of `native`, `dskit` and `alertmanager`. */
export type PingTransport = 'native' | 'dskit' | 'alertmanager';

export interface StreamPingOptions {
  readonly clock: Clock;
  readonly frames: PingFrames;
  readonly transport: PingTransport;
  /** Around it; undefined: none. */
  readonly tls: TlsTerms | undefined;
  /** Bound to; undefined: the system's choice. Used for its family only. */
  readonly localAddress: string | undefined;
}

/** Settles within a few times STREAM_WAIT_MS; never rejects, and leaves nothing open. */
export function pingStream(options: StreamPingOptions, target: ProbeTarget, seqNo: number): Promise<PingResult> {
  const { clock, frames, transport } = options;
  return new Promise((resolve) => {
    const socket = dial(options, target);
    let settled = false;
    const settle = (result: PingResult) => {
      if (settled) return;
      settled = true;
      cancel();
      // An orderly end where there was an answer: the member, or its fence, has nothing to complain about.
      if (result.outcome === 'answered') socket.destroySoon();
      else socket.destroy();
      resolve(result);
    };
    const cancel = patience(clock, STREAM_WAIT_MS, (heard) => settle(heard ? SILENT : UNABLE));
    let seen: Uint8Array = NO_BYTES;
    socket.on('data', (chunk: Buffer) => {
      if (settled) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const answer = frames.streamAnswer(seen, seqNo);
      if (answer === 'answer') settle({ outcome: 'answered', label: undefined });
      else if (answer === 'other' || seen.length > READ_MAX_BYTES) settle(SILENT);
    });
    socket.on('end', () => settle(SILENT));
    socket.on('error', (error) => settle(resultOfError(error)));
    socket.on('close', () => settle(SILENT));
    socket.once('connect', () => {
      const message = frames.stream({ seqNo, node: target.name ?? '' });
      if (transport === 'dskit') socket.write(Buffer.concat([Uint8Array.of(DSKIT_STREAM), message]));
      else if (transport === 'native') socket.write(message);
      else {
        // The frame in a record of its own (wire/alertmanager.ts): the message follows once it is written.
        const frame = encodeAlertmanagerFrame({ kind: 'stream', from: '', msg: NO_BYTES });
        socket.write(frame, () => socket.write(message));
      }
    });
  });
}

function dial({ tls, localAddress }: StreamPingOptions, { address, port }: ProbeTarget): Socket {
  const isOurs = localAddress !== undefined && isIPv6(localAddress) === isIPv6(address);
  const from = isOurs ? { localAddress } : {};
  const raw = connect({ host: address, port, allowHalfOpen: true, lookup: numericLookup, ...from });
  if (tls === undefined) return raw;
  const name = tls.verifyServer === 'name' ? tls.serverName || address : undefined;
  return dialTls(raw, tls, { sni: tls.serverName, name });
}
