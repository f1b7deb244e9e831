/** Messages as one line for people; what an attacker wrote is escaped and cut. */

import { addressText } from '../ring/tuple.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeText } from '../wire/escape.ts';
import type { Message } from '../wire/messages.ts';
import { FRAME_LINE_MAX_CHARS, FRAME_LINE_MESSAGES_MAX } from './inspect-bounds.ts';

/** A message in a few words. */
export function describeMessage(message: Message): string {
  switch (message.type) {
    case 'ping':
      return `ping ${message.SeqNo} of ${escapeText(message.Node)}${fromText(message)}`;
    case 'indirectPing': {
      const target = formatEndpoint({ address: addressText(message.Target), port: message.Port });
      return `indirectPing ${message.SeqNo} of ${escapeText(message.Node)} at ${target}${fromText(message)}`;
    }
    case 'ackResp':
    case 'nackResp':
      return `${message.type} ${message.SeqNo}`;
    case 'suspect':
    case 'dead':
      return `${message.type} ${escapeText(message.Node)} incarnation ${message.Incarnation} by ${escapeText(message.From)}`;
    case 'alive': {
      const where = formatEndpoint({ address: addressText(message.Addr), port: message.Port });
      return `alive ${escapeText(message.Node)} ${where} incarnation ${message.Incarnation}`;
    }
    case 'err':
      return `err "${escapeText(message.Error)}"`;
    case 'user':
      return `user message of ${message.data.length} bytes`;
  }
}

function fromText({ SourceNode }: { readonly SourceNode: string }): string {
  return SourceNode === '' ? '' : ` by ${escapeText(SourceNode)}`;
}

/** Several in one bounded line. */
export function describeAll(texts: readonly string[]): string {
  const shown = texts.slice(0, FRAME_LINE_MESSAGES_MAX).join(' | ');
  const more = texts.length - FRAME_LINE_MESSAGES_MAX;
  const line = more > 0 ? `${shown} | and ${more} more` : shown;
  return line.length > FRAME_LINE_MAX_CHARS ? `${line.slice(0, FRAME_LINE_MAX_CHARS)}...` : line;
}
