/** Merge findings as sentences for the log, the API and people; what others chose is escaped. */
import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes, escapeText } from '../wire/escape.ts';
import type { Bringer } from './foreign.ts';
import type { MergeAlarm } from './merge.ts';
import type { MergeWarning } from './warnings.ts';

/** Who said something, in which frame: `a push/pull answer of 10.0.0.9:7946 (stream that our app dialled, native)`. */
export function bringerText({ message, by, peer, direction, transport, kind, answer, rejected }: Bringer): string {
  const what = message === 'alive' ? 'an alive message' : answer ? 'a push/pull answer' : 'a push/pull';
  const who = by === 'peer' ? `of ${formatEndpoint(peer)}` : `of our own app to ${formatEndpoint(peer)}`;
  const dialled = direction === 'inbound' ? 'from outside' : 'from our app';
  const frame = kind === 'stream' ? `stream dialled ${dialled}` : `packet ${dialled}`;
  return `${what} ${who} (${frame}, ${transport}${rejected ? ', rejected' : ''})`;
}

export function alarmText({ name, address, port, broughtBy, foreign }: MergeAlarm): string {
  const who = `${escapeText(name)} at ${formatEndpoint({ address, port })}`;
  const label = escapeBytes(foreign.label);
  return `RINGS MERGE: ${who} is alive in this ring and belongs to cluster "${label}": brought by ${bringerText(broughtBy)}; shown under that label by ${bringerText(foreign.broughtBy)}`;
}

const OUTSIDE = {
  address: 'its address is outside of admit.cidrs',
  name: 'its name matches none of admit.names',
} as const;

export function warningText({ kind, outside, name, address, key }: MergeWarning): string {
  const who = `${escapeText(name)} at ${escapeText(address)}`;
  const why = outside === undefined ? 'no member of the gossip is at its address' : OUTSIDE[outside];
  if (kind === 'member') return `${who} is a member of this ring, and ${why}`;
  return `${who} is an instance of the ring "${escapeText(key ?? '')}", and ${why}`;
}
