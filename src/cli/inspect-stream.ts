/** One TCP connection of a capture: which transport, which label, and what both sides said. */
import { createHash } from 'node:crypto';
import type { Connection, ConnectionEnd, ConnectionSink, Endpoint, Moment, Side } from '../wire/capture/tcp.ts';
import type { Keyring } from '../wire/encryption.ts';
import { sameBytes } from '../wire/label.ts';
import { DSKIT_DIGEST_BYTES, DSKIT_PACKET_MAX_BYTES } from '../wire/limits.ts';
import {
  advertisedAddress,
  decodeStreamHeader,
  STREAM_HEADER_MAX_BYTES,
  type StreamHeader,
} from '../wire/stream-header.ts';
import type { CollectBudget } from './inspect-collect.ts';
import { createSpeaker, type Gossip, type Speaker } from './inspect-gossip.ts';
import { createSideReader, type SideReader, type SideResult } from './inspect-side.ts';

/** What a connection was, told when it has ended. */
export interface ReadExchange {
  readonly connection: Connection;
  /** Undefined when the connection was seen midway, or ended before its header was there. */
  readonly header: StreamHeader | undefined;
  /** The dialler, as gossip would address it. */
  readonly speaker: Speaker;
  /** The side that was dialled, under the dialler's label: answers carry none. */
  readonly answerer: Speaker;
  readonly bytes: number;
  /** Bytes that the capture lacks. */
  readonly missing: number;
  readonly how: ConnectionEnd;
  readonly request: SideResult | undefined;
  readonly answer: SideResult | undefined;
  /** A dskit packet connection's packet, whole; good until the call returns. */
  readonly packet: DskitPacket | undefined;
  readonly moment: Moment;
}

export interface DskitPacket {
  readonly bytes: Uint8Array;
  readonly digestFits: boolean;
}

export interface StreamOptions {
  readonly gossip: Gossip;
  keyring(): Keyring | undefined;
  readonly budget: CollectBudget;
  /** The label of a connection is known. */
  labelled(header: StreamHeader, connection: Connection, speaker: Speaker): void;
  exchange(exchange: ReadExchange): void;
}

const NO_BYTES = new Uint8Array(0);

/** Follows one connection. */
export function followConnection(connection: Connection, options: StreamOptions): ConnectionSink {
  const { gossip, budget } = options;
  const { answerer, midway } = connection;
  const collector = budget.open();
  const sides: { dialler: SideReader | undefined; answerer: SideReader | undefined } = {
    dialler: undefined,
    answerer: undefined,
  };
  const broken = { dialler: false, answerer: false };
  let head: Uint8Array = NO_BYTES;
  let header: StreamHeader | undefined;
  let advertised = '';
  let moment: Moment = { number: 0, atMs: undefined };
  let bytesSeen = 0;
  let missingBytes = 0;

  const speaker = (from: Endpoint): Speaker => {
    const { transport = 'unknown', kind = 'stream', label = NO_BYTES } = header ?? {};
    return createSpeaker({ from, label, transport, kind, moment });
  };
  const member = (): Endpoint => memberOf(connection, advertised);

  const begin = (known: StreamHeader): void => {
    header = known;
    advertised = advertisedAddress(known, head);
    const rest = head.subarray(known.kind === 'packet' ? known.labelAt : known.bodyAt);
    head = NO_BYTES;
    if (known.malformed !== undefined || known.transport === 'tls' || known.transport === 'unknown') return;
    options.labelled(known, connection, speaker(member()));
    if (known.kind === 'packet') {
      collector.add(rest);
      return;
    }
    const shared = { gossip, keyring: options.keyring(), label: known.label, pairs: known.transport === 'dskit' };
    const reader = (from: () => Endpoint) =>
      createSideReader({ ...shared, speaker: () => speaker(from()), collector: budget.open() });
    sides.dialler = reader(member);
    sides.answerer = reader(() => answerer);
    sides.dialler.push(rest);
  };
  const readHeader = (bytes: Uint8Array, ended: boolean): void => {
    head = Buffer.concat([head, bytes]);
    const state = decodeStreamHeader(head, ended, 'auto');
    if (state.done) begin(state.header);
    else if (head.length > STREAM_HEADER_MAX_BYTES) broken.dialler = true;
  };
  const fromDialler = (bytes: Uint8Array): void => {
    if (header === undefined) readHeader(bytes, false);
    else if (header.kind === 'packet') collector.add(bytes);
    else sides.dialler?.push(bytes);
  };
  const packetOf = (): DskitPacket | undefined => {
    if (header?.kind !== 'packet' || header.malformed !== undefined || !complete) return undefined;
    return splitPacket(collector.bytes());
  };
  let complete = false;

  return {
    data(side, bytes, now) {
      moment = now;
      bytesSeen += bytes.length;
      if (midway || broken[side]) return;
      if (side === 'dialler') fromDialler(bytes);
      else sides.answerer?.push(bytes);
    },
    gap(side, missing, now) {
      moment = now;
      missingBytes += missing;
      broken[side] = true;
      sides[side]?.end(false);
    },
    finished(side, now) {
      moment = now;
      if (midway || broken[side]) return;
      if (side === 'dialler' && header === undefined && head.length > 0) readHeader(NO_BYTES, true);
      if (side === 'dialler') complete = true;
      sides[side]?.end(true);
    },
    end(how, now) {
      moment = now;
      for (const side of ['dialler', 'answerer'] as const satisfies readonly Side[]) sides[side]?.end(false);
      const [request, answer] = [sides.dialler?.result(), sides.answerer?.result()];
      const shared = { connection, header, bytes: bytesSeen, missing: missingBytes, how, moment };
      options.exchange({
        ...shared,
        speaker: speaker(member()),
        answerer: speaker(answerer),
        request,
        answer,
        packet: packetOf(),
      });
      // The table of connections remembers ended ones for a while: nothing of what they said.
      sides.dialler = undefined;
      sides.answerer = undefined;
      collector.drop();
    },
  };
}

/** Without a digest there is no packet; what is larger than dskit's largest is not read. */
function splitPacket(bytes: Uint8Array): DskitPacket | undefined {
  const end = bytes.length - DSKIT_DIGEST_BYTES;
  if (end < 0 || end > DSKIT_PACKET_MAX_BYTES) return undefined;
  const packet = bytes.subarray(0, end);
  const digest = createHash('md5').update(packet).digest();
  return { bytes: packet, digestFits: sameBytes(digest, bytes.subarray(end)) };
}

/**
 * The dialler as a member: a dskit packet names its port, and elsewhere a member has the port that it dials, as rings share one. Behind
 * an address translation, or on the answerer's own host, that is a guess.
 */
function memberOf({ dialler, answerer }: Connection, advertised: string): Endpoint {
  const named = /^(.*):(\d{1,5})$/.exec(advertised);
  const port = named === null ? answerer.port : Number(named[2]);
  const address = named?.[1]?.replace(/^\[|\]$/g, '');
  return { address: dialler.address, port: address === dialler.address ? port : answerer.port };
}
