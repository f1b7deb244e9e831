/** What packets and streams are refused for alike: fields that no member writes so, and structs that make go-msgpack fall over. */
import { isList, rawStart, SCAN } from '../wire/msgpack-scan.ts';
import type { ShieldReason } from './reason.ts';

/** memberlist state.go `BuildVsnArray`: every release since v0.1.0 writes six bytes, in alives and in push/pull rows. */
const VERSION_BYTES = 6;

/** memberlist's head net.go `maxIncarnation`: above it a member cannot refute, and stays out for good (all releases up to v0.6.0). */
export const INCARNATION_MAX = 0xffff_ffff - 2 ** 16;

/**
 * The list of versions at `at` (a complete value), of fewer than six bytes: read past its end by every release up to v0.6.0 (state.go
 * `aliveNode`, `verifyProtocol`). Of none only by those up to v0.1.3, in an alive, where the app sets an Alive delegate; a push/pull
 * with such a row is refused by `verifyProtocol` before a Merge delegate could read it.
 */
export function harmOfVersions(
  bytes: Uint8Array,
  at: number,
  end: number,
  noneHarms: boolean,
): ShieldReason | undefined {
  if (isList(bytes[at])) return 'shield_disguised';
  const start = rawStart(bytes, at);
  const size = start < 0 ? 0 : end - start;
  return size >= VERSION_BYTES || (size === 0 && !noneHarms) ? undefined : 'shield_bad_version';
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
