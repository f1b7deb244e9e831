/**
 * Streams whose label, or its absence, says nothing about the app behind their sender: pings. A fence asks members by labelled ones
 * (wire/probe.ts), and memberlist sends its own on a stream only when its datagrams fail (state.go `probeNode`), so nothing is missed.
 */
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { isProbe } from '../wire/probe.ts';
import type { StreamHeader } from '../wire/stream-header.ts';

/** As far as the header and the first bytes after it show: what is encrypted tells nothing here (Look.neutral). */
export function isNeutral({ kind, messageType, bodyAt }: StreamHeader, head: Uint8Array): boolean {
  return kind === 'stream' ? messageType === MESSAGE_TYPE.ping : isProbe(head.subarray(bodyAt));
}
