/** What the TCP measures send: dskit's packets of 300 bytes, and push/pulls with 10 MB of user state. */
import { createHash } from 'node:crypto';
import { encodeCompound } from '../src/wire/compound.ts';
import { encodeLabelHeader } from '../src/wire/label.ts';
import { MESSAGE_TYPE } from '../src/wire/message-type.ts';
import { encodeMessage } from '../src/wire/messages.ts';
import { encodeStruct } from '../src/wire/msgpack-write.ts';
import { LABEL } from './packets.ts';

const CONNECTION_BYTES = 300;
const DIGEST_BYTES = 16;
/** So many different packets, sent in turn. */
const VARIANTS = 16;
export const BULK_BYTES = 10_000_000;

/** The same payloads as they are sent, and as they must arrive once the label is off. */
export interface Payloads {
  readonly labelled: readonly Buffer[];
  readonly stripped: readonly Buffer[];
  /** Where the label header begins in those that carry it. */
  readonly labelAt: number;
}

const header = Buffer.from(encodeLabelHeader(Buffer.from(LABEL)));

/** dskit's packet connections: `1 len from packet md5(packet)`; stripping the label takes another digest. 300 bytes labelled. */
export function dskitPackets(): Payloads {
  const from = Buffer.from('127.0.1.1:7946');
  const prefix = Buffer.concat([Buffer.of(1, from.length), from]);
  const connection = (packet: Buffer) => Buffer.concat([prefix, packet, createHash('md5').update(packet).digest()]);
  const room = CONNECTION_BYTES - prefix.length - header.length - DIGEST_BYTES;
  const bodies = Array.from({ length: VARIANTS }, (_, i) => packet(i, room));
  return {
    labelled: bodies.map((body) => connection(Buffer.concat([header, body]))),
    stripped: bodies.map(connection),
    labelAt: prefix.length,
  };
}

/** A piece of news and a user message that fills the packet. */
function packet(number: number, bytes: number): Buffer {
  const alive = encodeMessage({
    type: 'alive',
    Incarnation: number + 1,
    Node: `member-${number}`,
    Addr: Uint8Array.of(127, 0, 1, number + 1),
    Port: 7946,
    Meta: new Uint8Array(0),
    Vsn: Uint8Array.of(1, 5, 2, 2, 5, 4),
  });
  const compound = (user: number) => Buffer.from(encodeCompound([alive, Buffer.alloc(user, 8)]));
  const made = compound(bytes - compound(0).length);
  if (made.length !== bytes) throw new Error(`the packet has ${made.length} bytes, not ${bytes}`);
  return made;
}

/** The head of memberlist's own push/pull of one node; BULK_BYTES of user state follow. */
export function pushPulls(): Payloads {
  const head = pushPullHead();
  return { labelled: [Buffer.concat([header, head])], stripped: [head], labelAt: 0 };
}

// Written out (memberlist net.go pushPullHeader, pushNodeState): src/wire's own encoder comes with codecs that this has no use for.
export function pushPullHead(): Buffer {
  const header = encodeStruct(
    { Nodes: 1, UserStateLen: BULK_BYTES, Join: false },
    { fields: { Nodes: 'int', UserStateLen: 'int', Join: 'bool' } },
  );
  const node = encodeStruct(
    { Name: 'member-1', Addr: Uint8Array.of(127, 0, 1, 1), Port: 7946, Incarnation: 1, State: 0 },
    { fields: { Name: 'text', Addr: 'bytes', Port: 'u16', Incarnation: 'u32', State: 'int' } },
  );
  return Buffer.concat([Uint8Array.of(MESSAGE_TYPE.pushPull), header, node]);
}

export const LABEL_HEADER = header;
