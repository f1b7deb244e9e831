/**
 * What quarantine does with one entry of gossip.
 *
 * Alive entries of foreigners are stripped, in both directions, whoever repeats them: a foreigner refutes with an alive message under a
 * higher incarnation, so that one way in would bring it back. Word of foreigners that own members are suspect or dead is dropped.
 * Suspect, dead and left about foreigners pass, whoever says it, so that the app can bury them; and so that there is something to bury
 * them for, a probe of a foreigner, or by one, is dropped: a foreigner that answers probes would be held for alive for ever.
 */
import type { Message } from '../wire/messages.ts';
import { NODE_STATE, type PushPullNode } from '../wire/push-pull.ts';
import type { QuarantineSet } from './quarantine.ts';
import { type FrameSource, spokenByPeer } from './source.ts';

/** `strip`: a foreigner's alive entry. `drop`: what would harm own members, or keep a foreigner alive. */
export type EntryFate = 'pass' | 'strip' | 'drop';

/** The fate of a message of a packet, or of a ping on a stream. */
export function fateOfMessage(message: Message, set: QuarantineSet): EntryFate {
  switch (message.type) {
    case 'alive':
      return set.foreignAlive(message.Node, message.Addr, message.Port) ? 'strip' : 'pass';
    case 'suspect':
    case 'dead':
      return set.foreignName(message.From) && !set.foreignName(message.Node) ? 'drop' : 'pass';
    case 'ping':
    case 'indirectPing':
      return set.foreignName(message.Node) || set.foreignName(message.SourceNode) ? 'drop' : 'pass';
    default:
      return 'pass';
  }
}

/** The fate of a push/pull's row. `byForeigner`: who wrote the table is a foreigner. */
export function fateOfRow(
  { Name, Addr, Port, State }: PushPullNode,
  set: QuarantineSet,
  byForeigner: boolean,
): EntryFate {
  if (State === NODE_STATE.alive) return set.foreignAlive(Name, Addr, Port) ? 'strip' : 'pass';
  return byForeigner && !set.foreignName(Name) ? 'drop' : 'pass';
}

/** Whether a foreigner wrote these bytes, as far as the address on the other end tells. */
export function isForeignSpeaker(source: FrameSource, set: QuarantineSet): boolean {
  const { address, port } = source.peer;
  return spokenByPeer(source) && (set.foreignAddress(address) || set.foreignEndpoint(address, port));
}
