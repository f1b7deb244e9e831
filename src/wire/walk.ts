/**
 * From a packet to its messages, through CRC, compress and compound in any nesting that memberlist takes (net.go `ingestPacket`,
 * `handleCommand`). memberlist recurses without a bound; here depth, messages and unpacked bytes have one.
 */
import { type CodecFailure, failed } from './codec-reason.ts';
import { decodeCompound } from './compound.ts';
import { openCompress } from './compress.ts';
import { openCrc } from './crc.ts';
import { WALK_DEPTH_MAX, WALK_EXPANDED_MAX_BYTES, WALK_MESSAGES_MAX } from './limits.ts';
import { MESSAGE_TYPE } from './message-type.ts';
import { decodeMessage, type Message } from './messages.ts';

export interface Walk {
  /** In the order of the packet. */
  readonly messages: readonly Message[];
  /** What could not be read, each part for itself: memberlist handles the readable rest. Offsets count within their layer. */
  readonly failures: readonly CodecFailure[];
  /** Compound parts that were announced and are missing. */
  readonly truncatedParts: number;
}

interface WalkState {
  readonly messages: Message[];
  readonly failures: CodecFailure[];
  truncatedParts: number;
  expandedLeft: number;
  visits: number;
}

/**
 * Reads every message of `packet` (after its label, not encrypted). Total; views of the packet's memory where it can. `expandedMaxBytes`
 * can only narrow the wire's bound of what its compress layers may unpack to.
 */
export function walkPacket(packet: Uint8Array, expandedMaxBytes = WALK_EXPANDED_MAX_BYTES): Walk {
  const state: WalkState = {
    messages: [],
    failures: [],
    truncatedParts: 0,
    expandedLeft: Math.min(expandedMaxBytes, WALK_EXPANDED_MAX_BYTES),
    visits: 0,
  };
  const body = openCrc(packet);
  if (body.ok) visit(body.value, 0, state);
  else state.failures.push(body);
  return { messages: state.messages, failures: state.failures, truncatedParts: state.truncatedParts };
}

function visit(command: Uint8Array, depth: number, state: WalkState): void {
  // One failure says it; a packet of empty parts must not fill a list without end either.
  if (state.visits === WALK_MESSAGES_MAX) return;
  if (++state.visits === WALK_MESSAGES_MAX) {
    state.failures.push(failed('messages_limit', 0));
    return;
  }
  const type = command[0];
  if (type !== MESSAGE_TYPE.compound && type !== MESSAGE_TYPE.compress) {
    const message = decodeMessage(command);
    if (message.ok) state.messages.push(message.value);
    else state.failures.push(message);
    return;
  }
  if (depth === WALK_DEPTH_MAX) {
    state.failures.push(failed('depth_limit', 0));
    return;
  }
  if (type === MESSAGE_TYPE.compress) visitCompress(command, depth, state);
  else visitCompound(command, depth, state);
}

function visitCompress(command: Uint8Array, depth: number, state: WalkState): void {
  const inner = openCompress(command, state.expandedLeft);
  if (!inner.ok) {
    state.failures.push(inner);
    return;
  }
  state.expandedLeft -= inner.value.length;
  visit(inner.value, depth + 1, state);
}

function visitCompound(command: Uint8Array, depth: number, state: WalkState): void {
  const compound = decodeCompound(command);
  if (!compound.ok) {
    state.failures.push(compound);
    return;
  }
  state.truncatedParts += compound.value.truncated;
  for (const part of compound.value.parts) visit(part, depth + 1, state);
}
