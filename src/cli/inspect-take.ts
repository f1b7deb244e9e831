/** What was read out of a packet, added to what is known: messages to the ring, faults to the table of problems. */
import { REASON_SENTENCES } from '../policy/reason.ts';
import type { CodecFailure } from '../wire/codec-reason.ts';
import { decodeKvPair } from '../wire/kv.ts';
import type { Message } from '../wire/messages.ts';
import { describeAll, describeMessage } from './inspect-describe.ts';
import type { Findings } from './inspect-findings.ts';
import type { Speaker } from './inspect-gossip.ts';
import type { Learner } from './inspect-learn.ts';
import type { ReadPacket } from './inspect-packet.ts';
import type { Kinds, Traffic } from './inspect-traffic.ts';

/** What a packet or one side of an exchange came to, for the tables. */
export interface Content {
  readonly speaker: Speaker;
  readonly source: string;
  readonly destination: string;
}

/** What a frame is added to. */
export interface Parts {
  readonly findings: Findings;
  readonly learner: Learner;
  readonly traffic: Traffic;
  readonly streams: { gaps: number; midway: number };
}

/** Learns from a packet's messages and notes what is wrong with it. */
export function takeRead(parts: Parts, content: Content, read: ReadPacket, kinds: Kinds, pairs: boolean): void {
  const { speaker } = content;
  const { malformed, harm, messages, failures } = read;
  if (malformed !== undefined) problem(parts, content, malformed, REASON_SENTENCES[malformed]);
  if (harm !== undefined) problem(parts, content, harm, REASON_SENTENCES[harm]);
  for (const message of messages) takeMessage(parts, speaker, message, kinds, pairs);
  if (failures.length > 0) kinds['unreadable'] = (kinds['unreadable'] ?? 0) + failures.length;
  for (const failure of failures) problem(parts, content, failure.reason, failureSentence(failure));
}

function takeMessage({ learner }: Parts, speaker: Speaker, message: Message, kinds: Kinds, pairs: boolean): void {
  kinds[message.type] = (kinds[message.type] ?? 0) + 1;
  learner.message(speaker, message);
  if (!pairs || message.type !== 'user') return;
  const pair = decodeKvPair(message.data);
  if (pair.ok) learner.pair(speaker, pair.value);
}

/** A packet as one line. */
export function packetText(read: ReadPacket): string {
  const texts = read.messages.map(describeMessage);
  if (read.malformed !== undefined) texts.push(`malformed: ${read.malformed}`);
  if (read.harm !== undefined) texts.push(`HARMFUL: ${read.harm}`);
  if (read.sealing === 'sealed') texts.push('encrypted, no key fits');
  for (const { reason } of read.failures) texts.push(`unreadable: ${reason}`);
  return describeAll(texts);
}

/** Counts a problem of whoever sent this. */
export function problem(
  { traffic }: Parts,
  { source, destination, speaker }: Content,
  reason: string,
  sentence: string,
): void {
  traffic.problem(reason, sentence, source, destination, speaker.see(reason));
}

export function failureSentence({ reason, at }: CodecFailure): string {
  return `A message cannot be read (${reason} at byte ${at}); members log and drop it too.`;
}
