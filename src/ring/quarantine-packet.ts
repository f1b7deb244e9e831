/**
 * Quarantine on a packet (after its label, not encrypted): its entries as quarantine-entry.ts says, its layers kept. What is left of a
 * compound is counted anew, a compress layer packed with its own algorithm, the checksum computed again. What memberlist could not read
 * stays as it is, as does all that the walk does not reach within its bounds: the shield refuses such packets.
 */
import { decodeCompound, encodeCompound } from '../wire/compound.ts';
import { compressAlgorithm, encodeCompress, openCompress } from '../wire/compress.ts';
import { addCrc, openCrc } from '../wire/crc.ts';
import { WALK_DEPTH_MAX, WALK_EXPANDED_MAX_BYTES, WALK_MESSAGES_MAX } from '../wire/limits.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { decodeMessage } from '../wire/messages.ts';
import type { QuarantineSet } from './quarantine.ts';
import { fateOfMessage } from './quarantine-entry.ts';

export interface QuarantinedPacket {
  /** The same object when nothing was taken out, otherwise a new buffer; undefined when nothing is left. */
  readonly packet: Uint8Array | undefined;
  /** Alive entries of foreigners that were taken out. */
  readonly stripped: number;
  /** Other messages that were: word of foreigners about own members, probes of foreigners and by them. */
  readonly dropped: number;
}

interface Work {
  readonly set: QuarantineSet;
  stripped: number;
  dropped: number;
  visitsLeft: number;
  expandedLeft: number;
}

/** Message types that no rule is about: not worth decoding. */
const UNTOUCHED: ReadonlySet<number | undefined> = new Set([
  MESSAGE_TYPE.ackResp,
  MESSAGE_TYPE.nackResp,
  MESSAGE_TYPE.user,
]);

/** Takes out of `packet` what `set` says. Total. No rule asks where the packet came from: messages name their origin. */
export function quarantinePacket(packet: Uint8Array, set: QuarantineSet): QuarantinedPacket {
  const body = openCrc(packet);
  if (!body.ok || UNTOUCHED.has(body.value[0])) return { packet, stripped: 0, dropped: 0 };
  const work = { set, stripped: 0, dropped: 0, visitsLeft: WALK_MESSAGES_MAX, expandedLeft: WALK_EXPANDED_MAX_BYTES };
  const kept = visit(body.value, 0, work);
  const { stripped, dropped } = work;
  if (kept === body.value) return { packet, stripped, dropped };
  return { packet: kept === undefined || body.value === packet ? kept : addCrc(kept), stripped, dropped };
}

/** What is left of a command: the same object when nothing was taken out, undefined when nothing is left. */
function visit(command: Uint8Array, depth: number, work: Work): Uint8Array | undefined {
  if (work.visitsLeft-- <= 0) return command;
  const type = command[0];
  if (type === MESSAGE_TYPE.compound) return depth < WALK_DEPTH_MAX ? visitCompound(command, depth, work) : command;
  if (type === MESSAGE_TYPE.compress) return depth < WALK_DEPTH_MAX ? visitCompress(command, depth, work) : command;
  if (UNTOUCHED.has(type)) return command;
  const message = decodeMessage(command);
  const fate = message.ok ? fateOfMessage(message.value, work.set) : 'pass';
  if (fate === 'pass') return command;
  if (fate === 'strip') work.stripped++;
  else work.dropped++;
  return undefined;
}

function visitCompound(command: Uint8Array, depth: number, work: Work): Uint8Array | undefined {
  const compound = decodeCompound(command);
  if (!compound.ok) return command;
  const { parts } = compound.value;
  const kept: Uint8Array[] = [];
  let changed = false;
  for (const part of parts) {
    const left = visit(part, depth + 1, work);
    if (left !== part) changed = true;
    if (left !== undefined) kept.push(left);
  }
  if (!changed) return command;
  return kept.length === 0 ? undefined : encodeCompound(kept);
}

function visitCompress(command: Uint8Array, depth: number, work: Work): Uint8Array | undefined {
  const inner = openCompress(command, work.expandedLeft);
  const algorithm = compressAlgorithm(command);
  if (!inner.ok || algorithm === undefined) return command;
  work.expandedLeft -= inner.value.length;
  const left = visit(inner.value, depth + 1, work);
  if (left === inner.value) return command;
  return left === undefined ? undefined : encodeCompress(left, algorithm);
}
