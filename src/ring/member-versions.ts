/** The versions that a member's alive message carries: memberlist's protocol, and the app's own on top (the delegate's). */

/** Least, greatest and current version of a protocol. */
export interface Versions {
  readonly min: number;
  readonly max: number;
  readonly current: number;
}

/** state.go `aliveNode` ignores messages with these. */
export function hasBadVersions(versions: Uint8Array): boolean {
  const [min = 0, max = 0] = versions;
  return versions.length >= 3 && (min === 0 || max === 0 || min > max);
}

/** Both, as `Vsn` lists them; undefined when it has fewer than six. */
export function versionsOf(
  bytes: Uint8Array,
): { readonly protocol: Versions; readonly delegate: Versions } | undefined {
  if (bytes.length < 6) return undefined;
  const [pMin = 0, pMax = 0, pCurrent = 0, dMin = 0, dMax = 0, dCurrent = 0] = bytes;
  return {
    protocol: { min: pMin, max: pMax, current: pCurrent },
    delegate: { min: dMin, max: dMax, current: dCurrent },
  };
}
