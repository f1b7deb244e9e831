/** What one DNS name listed: its last good answer, and what left it within the grace. */

/** Addresses that left one name and are still within the grace; the ones that left first make room, and that is said. */
export const LEFT_MAX = 10_000;

/** One name as people see it. */
export interface DnsName {
  readonly name: string;
  /** When it last answered, ms; 0: never. */
  readonly lastSuccessMs: number;
  /** Why it cannot be looked up now, or only in part; one line. */
  readonly problem: string | undefined;
  /** Of its last good answer. */
  readonly addresses: number;
}

export interface NameState {
  readonly name: string;
  view(): DnsName;
  setProblem(why: string | undefined): void;
  /** Of the last good answer. */
  listed(): ReadonlySet<string>;
  /** The last good answer, and what is within the grace. */
  addresses(): Iterable<string>;
  /** Takes a good answer; whether it is another one than before, or the first. */
  answer(found: ReadonlySet<string>, nowMs: number): boolean;
  /** The configuration no longer has the name: everything that it listed leaves. */
  leave(nowMs: number): void;
  /** Forgets what left before `beforeMs`; gives when the oldest of the rest left, infinite without one. */
  expire(beforeMs: number): number;
  /** Whether it vouches for nobody any more. */
  empty(): boolean;
  /** What is wrong with its grace, in one line: too many left at once. */
  overflown(): string | undefined;
}

/** A name that has not answered yet. */
export function createNameState(name: string): NameState {
  let listed: ReadonlySet<string> = new Set();
  /** When each left, the first first. */
  const left = new Map<string, number>();
  let lastSuccessMs = 0;
  let problem: string | undefined;
  let overflow = false;
  const take = (found: ReadonlySet<string>, nowMs: number) => {
    for (const address of listed) if (!found.has(address)) left.set(address, nowMs);
    for (const address of found) left.delete(address);
    listed = found;
    overflow = left.size > LEFT_MAX;
    for (const address of left.keys()) {
      if (left.size <= LEFT_MAX) break;
      left.delete(address);
    }
  };
  return {
    name,
    view: () => ({ name, lastSuccessMs, problem, addresses: listed.size }),
    setProblem(why) {
      problem = why;
    },
    listed: () => listed,
    addresses: () => [...listed, ...left.keys()],
    answer(found, nowMs) {
      const same =
        lastSuccessMs > 0 && found.size === listed.size && [...found].every((address) => listed.has(address));
      if (!same) take(found, nowMs);
      lastSuccessMs = nowMs;
      return !same;
    },
    leave(nowMs) {
      take(new Set(), nowMs);
      lastSuccessMs = 0;
      problem = undefined;
    },
    expire(beforeMs) {
      for (const [address, leftMs] of left) {
        if (leftMs >= beforeMs) return leftMs;
        left.delete(address);
      }
      return Number.POSITIVE_INFINITY;
    },
    empty: () => listed.size === 0 && left.size === 0,
    overflown: () =>
      overflow ? `more than ${LEFT_MAX} addresses left the answers within the grace: the first are out` : undefined,
  };
}

/** The lists as one, sorted; `before` itself when it is the same. */
export function merged(lists: readonly Iterable<string>[], before: readonly string[]): readonly string[] {
  const addresses = [...new Set(lists.flatMap((list) => [...list]))].sort();
  const same = addresses.length === before.length && addresses.every((address, i) => address === before[i]);
  return same ? before : addresses;
}
