/** The bytes of the fence's pings and of their answers, plain and sealed. */
import { keyOfRing, noteSealOfMember } from '../datapath/app-seals.ts';
import {
  type Keyring,
  openPacket,
  openStream as openSealedStream,
  sealPacket,
  sealStream,
} from '../wire/encryption.ts';
import { encodeLabelHeader, peekPacketLabel, sameBytes } from '../wire/label.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { decodeMessage } from '../wire/messages.ts';
import { encodeProbe, type Probe } from '../wire/probe.ts';
import { openStream } from '../wire/push-pull.ts';
import { walkPacket } from '../wire/walk.ts';

/** How gossip is sealed, where it is. */
export interface PingSeal {
  readonly keyring: Keyring;
  /** What stands in the associated data of the frames that this fence lets out: the label's bytes, or none. */
  readonly aad: Uint8Array;
}

export interface PingFrames {
  /** A datagram: label header, probe. */
  packet(probe: Probe): Uint8Array;
  /** What is sent on a connection, transport framing not included: label header, probe. */
  stream(probe: Probe): Uint8Array;
  /** The label state of a datagram that answers the ping `seqNo`; undefined for anything else. Total. */
  packetAnswer(datagram: Uint8Array, seqNo: number): 'own' | 'none' | undefined;
  /** Whether the start of a connection's answer, as far as it is there, is the answer to `seqNo`. Total. */
  streamAnswer(bytes: Uint8Array, seqNo: number): 'answer' | 'more' | 'other';
}

/** memberlist security.go: what every release since protocol 2 seals with. */
const ENCRYPTION_VERSION = 1;

/** What an answer may unpack to: it holds a number, and a datagram some gossip besides. */
const EXPANDED_MAX_BYTES = 64 * 1024;

/** `seal`: undefined in a ring without encryption. */
export function createPingFrames(label: Uint8Array, seal: PingSeal | undefined): PingFrames {
  const header = encodeLabelHeader(label);
  const isAnswer = (message: Uint8Array, seqNo: number): boolean =>
    walkPacket(message, EXPANDED_MAX_BYTES).messages.some((part) => part.type === 'ackResp' && part.SeqNo === seqNo);
  return {
    packet(probe) {
      const plain = encodeProbe(probe);
      const body =
        seal === undefined
          ? plain
          : sealPacket(seal.keyring, plain, seal.aad, ENCRYPTION_VERSION, keyOfRing(seal.keyring));
      return Buffer.concat([header, body]);
    },
    stream(probe) {
      const plain = encodeProbe(probe);
      const body =
        seal === undefined
          ? plain
          : sealStream(seal.keyring, plain, seal.aad, ENCRYPTION_VERSION, keyOfRing(seal.keyring));
      return Buffer.concat([header, body]);
    },
    packetAnswer(datagram, seqNo) {
      const peeked = peekPacketLabel(datagram);
      if (!peeked.ok) return undefined;
      const { label: carried, bodyAt } = peeked.value;
      if (carried.length > 0 && !sameBytes(carried, label)) return undefined;
      const body = datagram.subarray(bodyAt);
      const opened = seal === undefined ? undefined : openPacket(seal.keyring, body, label);
      // What the keys do not open may be plain: members whose encryption is just being introduced answer so.
      if (!isAnswer(opened?.ok === true ? opened.value.plain : body, seqNo)) return undefined;
      if (seal !== undefined && opened?.ok === true) noteSealOfMember({ keyring: seal.keyring, key: opened.value.key });
      return carried.length > 0 ? 'own' : 'none';
    },
    streamAnswer(bytes, seqNo) {
      if (bytes.length === 0) return 'more';
      let message = bytes;
      let key: number | undefined;
      const sealed = bytes[0] === MESSAGE_TYPE.encrypt;
      if (sealed) {
        if (seal === undefined) return 'other';
        const opened = openSealedStream(seal.keyring, bytes, label);
        if (!opened.ok) return opened.reason === 'truncated' ? 'more' : 'other';
        message = opened.value.plain;
        key = opened.value.key;
      }
      const unpacked = openStream(message, EXPANDED_MAX_BYTES);
      if (!unpacked.ok) return unpacked.reason === 'truncated' && !sealed ? 'more' : 'other';
      const answer = decodeMessage(unpacked.value.message);
      const whole = sealed || unpacked.value.compressed;
      if (!answer.ok) return answer.reason === 'truncated' && !whole ? 'more' : 'other';
      if (answer.value.type !== 'ackResp' || answer.value.SeqNo !== seqNo) return 'other';
      if (seal !== undefined && key !== undefined) noteSealOfMember({ keyring: seal.keyring, key });
      return 'answer';
    },
  };
}
