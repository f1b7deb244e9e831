/** The datagrams of the UDP measures, 200 bytes under the own label: gossip as members send it, and a plain user message. */
import { encodeCompound } from '../src/wire/compound.ts';
import { encodeLabelHeader } from '../src/wire/label.ts';
import { encodeMessage } from '../src/wire/messages.ts';

export const LABEL = 'bench-ring';
export const FOREIGN_LABEL = 'other-ring';
export const PACKET_BYTES = 200;
/** A number that takes its full width in MessagePack, so that the load can put its own there. */
const NUMBER = 0x7fffffff;

export interface Packet {
  /** The whole datagram, and what the app gets of it. */
  readonly labelled: Buffer;
  readonly body: Buffer;
  /** Where the 4 bytes of the number begin in the body. */
  readonly numberAt: number;
}

/** Whom a gossip packet names as its sender, unless told. */
export const SOURCE = '127.1.0.1';

/** A ping with a piece of news, labelled; the ping's sequence number is the number. 200 bytes with the header. `source`: whom it names as sender. */
export function gossipPacket(label: string = LABEL, source = SOURCE): Packet {
  const header = encodeLabelHeader(Buffer.from(label));
  const Addr = Uint8Array.from(source.split('.').map(Number));
  const make = (name: string) =>
    Buffer.from(
      encodeCompound([
        encodeMessage({
          type: 'ping',
          SeqNo: NUMBER,
          Node: 'app',
          SourceAddr: Addr,
          SourcePort: 7946,
          SourceNode: 'member-1',
        }),
        encodeMessage({
          type: 'alive',
          Incarnation: 7,
          Node: name,
          Addr,
          Port: 7946,
          Meta: new Uint8Array(4),
          Vsn: Uint8Array.of(1, 5, 2, 2, 5, 4),
        }),
      ]),
    );
  const short = make('');
  const body = make('m'.repeat(PACKET_BYTES - header.length - short.length - nameLengthBytes(short, header)));
  if (header.length + body.length !== PACKET_BYTES) {
    throw new Error(`the packet has ${header.length + body.length} bytes`);
  }
  return { labelled: Buffer.concat([header, body]), body, numberAt: numberIn(body) };
}

/** A name of 32 bytes and more takes two further bytes for its length in memberlist's MessagePack. */
function nameLengthBytes(short: Buffer, header: Uint8Array): number {
  return PACKET_BYTES - header.length - short.length > 31 ? 2 : 0;
}

/** A user message that is nothing but the number and filling: what a forwarder sees when there is nothing to look at. */
export function userPacket(label: string = LABEL): Packet {
  const header = encodeLabelHeader(Buffer.from(label));
  const body = Buffer.alloc(PACKET_BYTES - header.length, 'u');
  body[0] = 8;
  body.writeUInt32BE(NUMBER, 1);
  return { labelled: Buffer.concat([header, body]), body, numberAt: 1 };
}

function numberIn(body: Buffer): number {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(NUMBER);
  const at = body.indexOf(number);
  if (at < 0 || body.indexOf(number, at + 1) >= 0) throw new Error('the packet has no number, or several');
  return at;
}
