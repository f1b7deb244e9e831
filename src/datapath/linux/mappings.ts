/** What the kernel says of a process's memory (/proc/PID/smaps), one mapping after the other. */

export interface Mapping {
  readonly from: number;
  readonly to: number;
  /** Such as `r-xp`. */
  readonly flags: string;
  /** A file, a name in brackets, or nothing. */
  readonly name: string;
  /** What is said of it in kB, by name (Rss, Anonymous, …); undefined for what a kernel does not say. */
  kb(name: string): number | undefined;
}

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)\n((?:[A-Z].*\n)*)/gm;

/**
 * The mappings in the text of smaps, in its order. What is said of one is looked for only when asked: a loop over thousands of lines would
 * have them compiled for speed, and bring the compiler's pages back that the start has just let go of (start-pages.ts; 5 MB of 56).
 */
export function mappingsOf(smaps: string): readonly Mapping[] {
  return Array.from(smaps.matchAll(MAPPING), ([, from = '', to = '', flags = '', name = '', said = '']) => ({
    from: Number.parseInt(from, 16),
    to: Number.parseInt(to, 16),
    flags,
    name,
    kb(wanted: string) {
      const value = new RegExp(`^${wanted}: +(\\d+) kB$`, 'm').exec(said)?.[1];
      return value === undefined ? undefined : Number(value);
    },
  }));
}
