/** What a fence asks other members with: its label, transport, keys and certificates, put together for the prober. */
import { randomInt } from 'node:crypto';
import type { FenceConfig } from '../config/types.ts';
import type { Clock } from '../control/clock.ts';
import type { Pinger, ProbeTarget } from '../control/prober.ts';
import { appSeals } from '../datapath/app-seals.ts';
import type { FenceContext, StreamSettings } from '../datapath/engine.ts';
import { appSealForm, wireSealForm } from '../policy/seal-form.ts';
import { readTallies } from '../policy/tally-reading.ts';
import { parseAddress } from '../wire/address.ts';
import type { Keyring } from '../wire/encryption.ts';
import type { TransportSetting } from '../wire/transport.ts';
import { UNABLE } from './ping-faults.ts';
import { createPingFrames, type PingSeal } from './ping-frames.ts';
import { createPacketPings } from './ping-packets.ts';
import { type PingTransport, pingStream } from './ping-stream.ts';

const SEQ_NO_END = 2 ** 32;
const NO_BYTES = new Uint8Array(0);

export interface PingerOptions {
  readonly config: Pick<FenceConfig, 'mode' | 'dialects' | 'encryption'>;
  readonly context: FenceContext;
  /** With the fence's certificates, where it has any. */
  readonly streams: Pick<StreamSettings, 'transport' | 'tls'>;
  readonly clock: Clock;
  /** Every buffer that the fence counts in: they tell what its ring speaks where the configuration leaves that open. */
  tallies(): readonly ArrayBufferLike[];
}

/** A pinger of the fence as it is now: keys, certificates and what the app speaks are looked up for each round. */
export function createPinger(options: PingerOptions): Pinger {
  const { config, context, streams, clock } = options;
  const localAddress = config.mode.kind === 'listen' ? concrete(config.mode.listen.address) : undefined;
  // In transparent mode the answer from a gossip port passes the fence's own packet worker, which may take off its label.
  const seesLabel = ({ port }: ProbeTarget) => config.mode.kind === 'listen' || port !== config.mode.port;
  return {
    round() {
      const transport = transportOf(streams.transport, options.tallies);
      const keyring = context.inside.keyring();
      const sealed = appSeals(context);
      if (transport === undefined || (sealed === true && keyring === undefined)) return undefined;
      const seal = keyring === undefined || sealed === false ? undefined : sealOf(options, keyring);
      const frames = createPingFrames(context.label, seal);
      const packets = createPacketPings({
        clock,
        frames,
        localAddress,
        nextSeqNo,
        seesLabel,
        sent(target) {
          const address = seesLabel(target) ? undefined : parseAddress(target.address);
          // The worker takes a labelled answer for proof only where it knows that something was sent.
          if (address !== undefined) context.peers.sent(address, target.port, context.now());
        },
      });
      const stream = { clock, frames, transport, tls: streams.tls, localAddress };
      // A name that gossip gave is gossip that could be read; without one, a ring may be encrypted that has not shown itself.
      const mayAsk = ({ name, port }: ProbeTarget) =>
        port > 0 && (keyring !== undefined || sealed === false || name !== undefined);
      const datagrams = transport === 'native' && streams.tls === undefined;
      return {
        packet: datagrams ? async (target) => (mayAsk(target) ? packets.ping(target) : UNABLE) : undefined,
        stream: async (target) => (mayAsk(target) ? pingStream(stream, target, nextSeqNo()) : UNABLE),
        close: () => packets.close(),
      };
    },
  };
}

function nextSeqNo(): number {
  return randomInt(1, SEQ_NO_END);
}

/** The address, unless it stands for all of the machine's. */
function concrete(address: string): string | undefined {
  return address === '0.0.0.0' || address === '::' ? undefined : address;
}

/** In the form that the app's own frames have when they leave this fence. */
function sealOf({ config, context }: PingerOptions, keyring: Keyring): PingSeal {
  const { dialects, encryption } = config;
  const form = encryption.reseal ? wireSealForm(true) : appSealForm(dialects, false);
  return { keyring, aad: form === 'label' ? context.label : NO_BYTES };
}

/**
 * What the ring speaks. Where the configuration says `auto`, what passed the fence does: mostly dskit's frames or mostly native ones;
 * undefined while nothing has.
 */
function transportOf(setting: TransportSetting, tallies: PingerOptions['tallies']): PingTransport | undefined {
  if (setting !== 'auto') return setting;
  const passed = { native: 0, dskit: 0 };
  for (const { transport, verdict, value } of readTallies(tallies()).frames) {
    if (verdict === 'pass' && (transport === 'native' || transport === 'dskit')) passed[transport] += value;
  }
  if (passed.native === 0 && passed.dskit === 0) return undefined;
  return passed.dskit > passed.native ? 'dskit' : 'native';
}
