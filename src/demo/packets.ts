/** What a member does with packets: answers pings, helps with indirect ones, feeds gossip to its table. Mirrors memberlist net.go `handleCommand`. */
import type { Endpoint } from '../datapath/engine.ts';
import { compoundBytes, encodeCompound } from '../wire/compound.ts';
import { addCrc } from '../wire/crc.ts';
import { encodeMessage, type Message, type MessageOf } from '../wire/messages.ts';
import { walkPacket } from '../wire/walk.ts';
import type { Acks } from './acks.ts';
import { addressBytes, endpointOf } from './address.ts';
import type { Broadcasts } from './broadcasts.ts';
import { type MemberSettings, PACKET_MAX_BYTES } from './settings.ts';
import type { Member, MemberTable } from './table.ts';
import type { Transport } from './transport.ts';

const NO_PAYLOAD = new Uint8Array(0);

/** What the packet side needs of its member. */
export interface PacketHost {
  readonly settings: MemberSettings;
  readonly table: MemberTable;
  readonly acks: Acks;
  readonly broadcasts: Broadcasts;
  transport(): Transport;
}

/** A ping to `name` that asks for its ack at our advertised address. */
export function pingMessage(host: PacketHost, seq: number, name: string): MessageOf<'ping'> {
  return { type: 'ping', SeqNo: seq, Node: name, ...source(host) };
}

export function source({ settings: { name, advertise } }: PacketHost) {
  return { SourceAddr: addressBytes(advertise.address), SourcePort: advertise.port, SourceNode: name };
}

/** Sends a message with as much waiting gossip as fits beside it (net.go `sendMsg`). */
export function sendMessage(host: PacketHost, to: Endpoint, message: Message): void {
  host.transport().sendPacket(to, withGossip(host, encodeMessage(message)));
}

function withGossip(host: PacketHost, message: Uint8Array): Uint8Array {
  const extra = host.broadcasts.take(PACKET_MAX_BYTES - compoundBytes([message]));
  return extra.length === 0 ? message : encodeCompound([message, ...extra]);
}

/** Sends waiting gossip alone, with a checksum for those who know it (net.go `rawSendMsgPacket`); false when there is none. */
export function sendGossip(host: PacketHost, to: Member): boolean {
  const messages = host.broadcasts.take(PACKET_MAX_BYTES - 2);
  const [first] = messages;
  if (first === undefined) return false;
  const packet = messages.length === 1 ? first : encodeCompound(messages);
  host.transport().sendPacket(to.endpoint, (to.versions[1] ?? 0) >= 5 ? addCrc(packet) : packet);
  return true;
}

/** Handles every readable message of a packet; the rest is memberlist's log line, and nothing here. */
export function receivePacket(host: PacketHost, packet: Uint8Array, from: Endpoint): void {
  for (const message of walkPacket(packet).messages) {
    switch (message.type) {
      case 'ping':
        answerPing(host, message, from);
        break;
      case 'indirectPing':
        relayPing(host, message, from);
        break;
      case 'ackResp':
        host.acks.acked(message.SeqNo);
        break;
      case 'alive':
        host.table.alive(message);
        break;
      case 'suspect':
        host.table.suspect(message);
        break;
      case 'dead':
        host.table.dead(message);
        break;
      // Nacks only refine memberlist's idea of its own health, which this member has none of; user messages have no reader here.
      case 'nackResp':
      case 'user':
      case 'err':
        break;
    }
  }
}

/** Sends to the source that the message names, or back to where it came from. */
function answer(host: PacketHost, asked: MessageOf<'ping' | 'indirectPing'>, from: Endpoint, message: Message): void {
  const named = endpointOf(asked.SourceAddr, asked.SourcePort);
  if (named !== undefined) sendMessage(host, named, message);
  else host.transport().answerPacket(from, withGossip(host, encodeMessage(message)));
}

function answerPing(host: PacketHost, ping: MessageOf<'ping'>, from: Endpoint): void {
  if (ping.Node !== '' && !host.table.isSelf(ping.Node)) return;
  answer(host, ping, from, { type: 'ackResp', SeqNo: ping.SeqNo, Payload: NO_PAYLOAD });
}

/** Pings the target for someone who cannot reach it, and passes the ack on, or a nack where one is wanted. */
function relayPing(host: PacketHost, asked: MessageOf<'indirectPing'>, from: Endpoint): void {
  const target = endpointOf(asked.Target, asked.Port === 0 ? host.settings.advertise.port : asked.Port);
  if (target === undefined) return;
  const seq = host.acks.next();
  void host.acks.wait(seq, host.settings.timing.probeTimeoutMs).then((acked) => {
    if (acked) answer(host, asked, from, { type: 'ackResp', SeqNo: asked.SeqNo, Payload: NO_PAYLOAD });
    else if (asked.Nack) answer(host, asked, from, { type: 'nackResp', SeqNo: asked.SeqNo });
  });
  sendMessage(host, target, pingMessage(host, seq, asked.Node));
}
