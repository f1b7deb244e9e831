/** One gossip packet of a capture, read as a member would: label, encryption, harm, messages. */
import type { ShieldReason } from '../policy/reason.ts';
import { harmOfPacket } from '../policy/shield-packet.ts';
import type { CodecFailure } from '../wire/codec-reason.ts';
import { type Keyring, looksEncrypted, openPacket } from '../wire/encryption.ts';
import { peekPacketLabel } from '../wire/label.ts';
import type { Message } from '../wire/messages.ts';
import type { MalformedReason } from '../wire/reason.ts';
import { walkPacket } from '../wire/walk.ts';

/** Whether the bytes were encrypted: `opened` by one of our keys, or `sealed` to us. */
export type Sealing = 'no' | 'opened' | 'sealed';

export interface ReadPacket {
  /** A view; empty for none. */
  readonly label: Uint8Array;
  readonly malformed: MalformedReason | undefined;
  readonly sealing: Sealing;
  readonly harm: ShieldReason | undefined;
  readonly messages: readonly Message[];
  readonly failures: readonly CodecFailure[];
}

const NO_BYTES = new Uint8Array(0);
const NOTHING = { harm: undefined, messages: [], failures: [] } as const;

/** Reads a packet, its label first; `datagram` unless it came over TCP. Total. */
export function readPacket(packet: Uint8Array, keyring: Keyring | undefined, datagram: boolean): ReadPacket {
  const peeked = peekPacketLabel(packet);
  if (!peeked.ok) return { ...NOTHING, label: NO_BYTES, malformed: peeked.reason, sealing: 'no' };
  const { label, bodyAt } = peeked.value;
  const body = packet.subarray(bodyAt);
  const base = { label, malformed: undefined };
  if (!looksEncrypted(body)) return { ...base, sealing: 'no', ...look(body, datagram) };
  const opened = keyring === undefined ? undefined : openPacket(keyring, body, label);
  if (opened?.ok === true) return { ...base, sealing: 'opened', ...look(opened.value.plain, datagram) };
  const harmful = opened?.reason === 'padding' || opened?.reason === 'plaintext_empty';
  if (!harmful) return { ...NOTHING, ...base, sealing: 'sealed' };
  return { ...NOTHING, ...base, sealing: 'opened', harm: 'shield_empty_plaintext' };
}

function look(body: Uint8Array, datagram: boolean): Pick<ReadPacket, 'harm' | 'messages' | 'failures'> {
  const { messages, failures } = walkPacket(body);
  // Whom gossip may reach is for admission rules to say, which a capture does not have.
  return { harm: harmOfPacket(body, () => true, datagram), messages, failures };
}

/** Whether a packet on any port is gossip beyond doubt: it has a label, a key opened it, or a message with fields was read. */
export function isSurelyGossip({ label, sealing, messages }: ReadPacket): boolean {
  return label.length > 0 || sealing === 'opened' || messages.some(({ type }) => type !== 'user');
}
