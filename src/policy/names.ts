/** Patterns of member names: `*` stands for any text, `?` for one character, everything else for itself. */

/** A pattern's length in characters: Kubernetes names have at most 253. */
export const NAME_PATTERN_MAX_CHARS = 253;

/**
 * Whether `name` as a whole matches `pattern`. No backtracking but to the last `*`, so it takes at most
 * pattern.length * name.length steps. Characters are UTF-16 units, as in names from decodeText.
 */
export function matchesName(pattern: string, name: string): boolean {
  let [p, n, starAt, retryAt] = [0, 0, -1, 0];
  while (n < name.length) {
    if (pattern[p] === '*') {
      starAt = p++;
      retryAt = n;
    } else if (pattern[p] === '?' || pattern[p] === name[n]) {
      p++;
      n++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      n = ++retryAt;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
