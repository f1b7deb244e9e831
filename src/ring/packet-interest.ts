/**
 * How far inspection is interested in a packet (inspect-packet.ts), told where it passes: inspection itself comes to it later, in another
 * thread maybe. Pure and total.
 */
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import type { FrameSource } from './source.ts';

/**
 * How old may be what inspection knows of a peer that goes on saying nothing but plain user messages under the same label, ms: when it was
 * heard last. As the stamps of known-peer.ts.
 */
export const HEARD_FRESH_MS = 100;

/** Whether user messages are read: dskit's pairs travel in them. Only dskit's own transport says that pairs are meant. */
export function readsUser({ transport }: Pick<FrameSource, 'transport'>): boolean {
  return transport === 'dskit';
}

/**
 * Whether the packet from `at` to `end` of `bytes` (after its label, maybe encrypted) is a plain user message that is not read: it tells of its peer that
 * it spoke under its label, and nothing else. A sealed packet never begins like one, and whoever wraps one makes it a packet that is read.
 */
export function isUnread(
  source: Pick<FrameSource, 'transport'>,
  bytes: Uint8Array,
  at = 0,
  end = bytes.length,
): boolean {
  return at < end && bytes[at] === MESSAGE_TYPE.user && !readsUser(source);
}
