/**
 * The shield on packets: what of wire-protocol §6 a packet (after its label, not encrypted) can hold. A scan without objects or
 * copies, because every inbound packet waits for it: 0.15 microseconds for a ping, 0.3 for a ping and an alive. Only a
 * compress layer is unpacked. It reads as the most eager release does (net.go `handleCommand` and below), and reports harm as soon as
 * it sees it: what memberlist cannot parse and merely logs passes.
 */
import { ADDRESS_BYTES } from '../wire/address.ts';
import { COMPRESS_ALGORITHM } from '../wire/compress.ts';
import { openCrc } from '../wire/crc.ts';
import {
  DATAGRAM_EXPANDED_MAX_BYTES,
  WALK_DEPTH_MAX,
  WALK_EXPANDED_MAX_BYTES,
  WALK_MESSAGES_MAX,
} from '../wire/limits.ts';
import { decodeLzw } from '../wire/lzw.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { MESSAGE_SCHEMAS } from '../wire/messages.ts';
import { type ScanPlan, scanPlan } from '../wire/msgpack-plan.ts';
import { bytesLength, integerAt, isList, rawStart, SCAN, scanStruct } from '../wire/msgpack-scan.ts';
import { decodeSnappy } from '../wire/snappy.ts';
import type { ShieldReason } from './reason.ts';
import { harmOfIncarnation, harmOfScan, harmOfVersions } from './shield-rules.ts';

/** Whether gossip may be sent to an address (16 bytes, wire/address.ts) because a packet asks for it. The bytes are lent. */
export type MayReach = (address: Uint8Array) => boolean;

const CRC_HEADER_BYTES = 5;

interface Scan {
  /** Of the scan at hand; undefined before the first. */
  mayReach: MayReach | undefined;
  datagram: boolean;
  expandedLeft: number;
  visitsLeft: number;
  harm: ShieldReason | undefined;
  /** Of the message at hand. */
  watches: Uint8Array;
  /** Whether the alive at hand carries a list of versions. */
  versions: boolean;
  /** Of the compress message at hand: where Buf's content begins and ends, and its algorithm (NaN for one that is no number). */
  bufAt: number;
  bufEnd: number;
  algorithm: number;
}

/** One for all: a scan is over before another begins, and makes no objects. */
const SCANNING: Scan = {
  mayReach: undefined,
  datagram: true,
  expandedLeft: 0,
  visitsLeft: 0,
  harm: undefined,
  watches: new Uint8Array(0),
  versions: false,
  bufAt: 0,
  bufEnd: 0,
  algorithm: COMPRESS_ALGORITHM.lzw,
};

/** The address at hand, of 16 bytes or of 4: these follow what makes an IPv4 address one of 16. */
const ADDRESS = new Uint8Array(ADDRESS_BYTES);
const ADDRESS_IPV4 = Uint8Array.from({ length: ADDRESS_BYTES }, (_, i) => (i === 10 || i === 11 ? 0xff : 0));

/**
 * The first thing in the packet from `at` to `end` of `bytes` that is known to crash or exhaust a receiver; undefined when there is none. Total. `datagram`: it came
 * over UDP, where an empty one is ignored by every release, and where releases before v0.2.4 listen, which misread a compound of 128
 * parts and more; a dskit packet holds such compounds rightly. Not for ciphertext: it starts like a ping, and about one packet in a
 * hundred reads like one that would harm a member without encryption.
 */
export function harmOfPacket(
  bytes: Uint8Array,
  mayReach: MayReach,
  datagram: boolean,
  at = 0,
  end = bytes.length,
): ShieldReason | undefined {
  if (at === end) return datagram ? undefined : 'shield_empty_message';
  const scan = SCANNING;
  scan.mayReach = mayReach;
  scan.datagram = datagram;
  scan.expandedLeft = datagram ? DATAGRAM_EXPANDED_MAX_BYTES : WALK_EXPANDED_MAX_BYTES;
  scan.visitsLeft = WALK_MESSAGES_MAX;
  const summed = bytes[at] === MESSAGE_TYPE.hasCrc && end - at >= CRC_HEADER_BYTES;
  const harm = visit(bytes, summed ? at + CRC_HEADER_BYTES : at, end, 0, scan);
  // Members drop a packet whose checksum is wrong before they look into it; the sum is only worked out where it matters.
  return harm !== undefined && summed && !openCrc(bytes.subarray(at, end)).ok ? undefined : harm;
}

function visit(bytes: Uint8Array, at: number, end: number, depth: number, scan: Scan): ShieldReason | undefined {
  if (at >= end) return 'shield_empty_message';
  if (--scan.visitsLeft < 0) return 'shield_bomb';
  const type = bytes[at] as number;
  if (type === MESSAGE_TYPE.compound || type === MESSAGE_TYPE.compress) {
    if (depth === WALK_DEPTH_MAX) return 'shield_bomb';
    return type === MESSAGE_TYPE.compound
      ? visitCompound(bytes, at + 1, end, depth, scan)
      : visitCompress(bytes, at + 1, end, depth, scan);
  }
  const body = BODIES[type];
  if (body === undefined) return undefined;
  scan.versions = false;
  scan.watches = body.watches;
  const code = scanStruct(bytes, at + 1, end, body.plan, visitField, scan);
  if (code === STOP) return scan.harm;
  return code >= 0 && type === MESSAGE_TYPE.alive && !scan.versions ? 'shield_bad_version' : harmOfScan(code);
}

/** util.go `decodeCompoundMessage`. */
function visitCompound(
  bytes: Uint8Array,
  at: number,
  end: number,
  depth: number,
  scan: Scan,
): ShieldReason | undefined {
  if (at >= end) return undefined;
  const count = bytes[at] as number;
  const table = at + 1;
  const partsAt = table + 2 * count;
  // Before v0.2.4 `count * 2` wraps at 256, in the check of the table's length and in where the parts begin.
  const wrappedAt = table + ((2 * count) & 0xff);
  if (partsAt > end) return wrappedAt !== partsAt && wrappedAt <= end ? 'shield_empty_message' : undefined;
  const harm = visitParts(bytes, table, count, partsAt, end, depth, scan);
  if (harm !== undefined || wrappedAt === partsAt || !scan.datagram) return harm;
  return visitParts(bytes, table, count, wrappedAt, end, depth, scan);
}

function visitParts(
  bytes: Uint8Array,
  table: number,
  count: number,
  partsAt: number,
  end: number,
  depth: number,
  scan: Scan,
): ShieldReason | undefined {
  let at = partsAt;
  for (let i = table; i < table + 2 * count; i += 2) {
    const next = at + (((bytes[i] as number) << 8) | (bytes[i + 1] as number));
    if (next > end) return undefined;
    const harm = visit(bytes, at, next, depth + 1, scan);
    if (harm !== undefined) return harm;
    at = next;
  }
  return undefined;
}

/** util.go `decompressPayload`, and the fork's Snappy. */
function visitCompress(
  bytes: Uint8Array,
  at: number,
  end: number,
  depth: number,
  scan: Scan,
): ShieldReason | undefined {
  scan.bufAt = 0;
  scan.bufEnd = 0;
  scan.algorithm = COMPRESS_ALGORITHM.lzw;
  const code = scanStruct(bytes, at, end, COMPRESS_PLAN, visitCompressField, scan);
  if (code < 0) return code === STOP ? scan.harm : harmOfScan(code);
  const { algorithm, expandedLeft } = scan;
  if (algorithm !== COMPRESS_ALGORITHM.lzw && algorithm !== COMPRESS_ALGORITHM.snappy) return undefined;
  const buf = bytes.subarray(scan.bufAt, scan.bufEnd);
  const inner = algorithm === COMPRESS_ALGORITHM.lzw ? decodeLzw(buf, expandedLeft) : decodeSnappy(buf, expandedLeft);
  if (!inner.ok) {
    // What does not unpack has cost as much, and is logged by members: a packet may hold thousands of such layers.
    scan.expandedLeft = expandedLeft >>> 1;
    return inner.reason === 'expanded_limit' ? 'shield_bomb' : undefined;
  }
  scan.expandedLeft -= inner.value.length;
  return visit(inner.value, 0, inner.value.length, depth + 1, scan);
}

const STOP = SCAN.lowest - 1;

function stop(harm: ShieldReason | undefined, scan: Scan): number {
  scan.harm = harm;
  return harm === undefined ? 0 : STOP;
}

const COMPRESS_PLAN = scanPlan({ fields: { Algo: 'u8', Buf: 'bytes' } });

function visitCompressField(field: number, bytes: Uint8Array, at: number, end: number, scan: Scan): number {
  if (field === 0) scan.algorithm = integerAt(bytes, at);
  else if (isList(bytes[at])) return stop('shield_disguised', scan);
  else if (rawStart(bytes, at) >= 0) [scan.bufAt, scan.bufEnd] = [rawStart(bytes, at), end];
  return 0;
}

/** net.go `handlePing` answers at SourceAddr; `handleIndirectPing` probes Target, and passes the answer on to SourceAddr. */
function visitAddress(bytes: Uint8Array, at: number, scan: Scan): number {
  const size = bytesLength(bytes, at);
  // Go writes an address of any other length as text that is no address, and sends nothing.
  if (size !== 4 && size !== 16) return 0;
  const start = rawStart(bytes, at);
  if (start < 0) return isList(bytes[at]) ? stop('shield_disguised', scan) : 0;
  const address = size === 4 ? ADDRESS_IPV4 : ADDRESS;
  for (let i = 0; i < size; i++) address[ADDRESS_BYTES - size + i] = bytes[start + i] as number;
  return stop(scan.mayReach?.(address) === true ? undefined : 'shield_reflection', scan);
}

interface Body {
  /** Shows the watched fields alone. */
  readonly plan: ScanPlan;
  /** By field: what is watched in it. */
  readonly watches: Uint8Array;
}

const WATCH = { nothing: 0, address: 1, versions: 2, incarnation: 3 } as const;

const WATCHED: Readonly<Record<string, number>> = {
  SourceAddr: WATCH.address,
  Target: WATCH.address,
  Vsn: WATCH.versions,
  Incarnation: WATCH.incarnation,
};

function visitField(field: number, bytes: Uint8Array, at: number, end: number, scan: Scan): number {
  const watch = scan.watches[field];
  if (watch === WATCH.address) return visitAddress(bytes, at, scan);
  if (watch === WATCH.incarnation) return stop(harmOfIncarnation(integerAt(bytes, at)), scan);
  scan.versions = true;
  return stop(harmOfVersions(bytes, at, end, true), scan);
}

function bodyOf(type: keyof typeof MESSAGE_SCHEMAS): Body {
  const schema = MESSAGE_SCHEMAS[type];
  return {
    plan: scanPlan(schema, new Set(Object.keys(WATCHED))),
    watches: Uint8Array.from(Object.keys(schema.fields), (name) => WATCHED[name] ?? WATCH.nothing),
  };
}

/** By type byte; types without a body of fields, or unknown, are left alone: memberlist hands them on or logs them. */
const BODIES: readonly (Body | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const type = (['ping', 'indirectPing', 'ackResp', 'nackResp', 'suspect', 'alive', 'dead'] as const).find(
    (name) => MESSAGE_TYPE[name] === byte,
  );
  return type === undefined ? undefined : bodyOf(type);
});
