/** What the kernel says of a process's memory (/proc/PID/smaps), one mapping after the other. */

export interface Mapping {
  readonly from: number;
  readonly to: number;
  /** Such as `r-xp`. */
  readonly flags: string;
  /** A file, a name in brackets, or nothing. */
  readonly name: string;
  /** What is said of it in kB, by name (Rss, Anonymous, …); what a kernel does not say is missing. */
  readonly kb: ReadonlyMap<string, number>;
}

/** The mappings in the text of smaps, in its order. */
export function mappingsOf(smaps: string): readonly Mapping[] {
  const found: Mapping[] = [];
  let kb = new Map<string, number>();
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)$/.exec(line);
    if (head !== null) {
      const [, from = '', to = '', flags = '', name = ''] = head;
      kb = new Map();
      found.push({ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16), flags, name, kb });
      continue;
    }
    const [, key, value] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
    if (key !== undefined) kb.set(key, Number(value));
  }
  return found;
}
