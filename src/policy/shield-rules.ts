/** What packets and streams are refused for alike: fields that no member writes so, and structs that make go-msgpack fall over. */
import { isList, rawStart, SCAN } from '../wire/msgpack-scan.ts';
import type { ShieldReason } from './reason.ts';

/** memberlist state.go `BuildVsnArray`: every release since v0.1.0 writes six bytes, in alives and in push/pull rows. */
const VERSION_BYTES = 6;

/** memberlist's head net.go `maxIncarnation`: above it a member cannot refute, and stays out for good (all releases up to v0.6.0). */
export const INCARNATION_MAX = 0xffff_ffff - 2 ** 16;

/**
 * The list of versions at `at` (a complete value). 1 to 5 bytes are read past their end by every release (state.go `aliveNode`,
 * `verifyProtocol`); none by those up to v0.1.4 with an Alive delegate, and by all in a join with a Merge delegate.
 */
export function harmOfVersions(bytes: Uint8Array, at: number, end: number): ShieldReason | undefined {
  if (isList(bytes[at])) return 'shield_disguised';
  const start = rawStart(bytes, at);
  return start < 0 || end - start < VERSION_BYTES ? 'shield_bad_version' : undefined;
}

export function harmOfIncarnation(incarnation: number): ShieldReason | undefined {
  return incarnation > INCARNATION_MAX ? 'shield_bad_incarnation' : undefined;
}

/** What a scan (wire/msgpack-scan.ts) says about the struct as such; undefined for one that is fine, cut off or not parsable. */
export function harmOfScan(code: number): ShieldReason | undefined {
  if (code === SCAN.claim || code === SCAN.entries) return 'shield_bad_length';
  if (code === SCAN.depth) return 'shield_bomb';
  return code === SCAN.disguised ? 'shield_disguised' : undefined;
}
