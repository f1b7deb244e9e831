/** What serf's logs tell while a ring is adopted: alarms by event of the schedule, in words that two arms can compare. */
import type { LabProcess } from '../lab/process.ts';

/** One line that tells of trouble. */
export interface Alarm {
  readonly observer: string;
  /** What happened, without names, addresses and numbers. */
  readonly kind: string;
  /** The members that the line names, by name or address; empty where it names none. */
  readonly subjects: readonly string[];
  readonly line: string;
}

export interface Journal {
  /** Reads `process`'s log from its beginning, as that of the member `name` at `address`. */
  follow(name: string, address: string, process: LabProcess): void;
  /** The alarms since the last call. */
  take(): readonly Alarm[];
  /** Every line of every member that matches, since the beginning. */
  matching(pattern: RegExp): readonly { readonly name: string; readonly line: string }[];
}

/** Suspicions, failures and errors: what a member logs when it loses another, or cannot understand it. */
const ALARM = /suspect|EventMemberFailed|Refuting a (suspect|dead)|probes failed|\[ERR\]/i;

export function createJournal(): Journal {
  const followed: { readonly name: string; readonly process: LabProcess; from: number }[] = [];
  const names = new Map<string, string>();
  return {
    follow(name, address, process) {
      names.set(address, name);
      followed.push({ name, process, from: 0 });
    },
    take() {
      return followed.flatMap((log) => {
        const lines = log.process.lines(log.from);
        log.from = log.process.mark();
        return lines.filter((line) => ALARM.test(line)).map((line) => alarmOf(log.name, line, names));
      });
    },
    matching: (pattern) =>
      followed.flatMap(({ name, process }) =>
        process.lines().flatMap((line) => (pattern.test(line) ? [{ name, line }] : [])),
      ),
  };
}

/** What a member without a fence, or with one at observe, logs of a labelled ping: it drops it, which is what the ping is there to find out. */
export function isDroppedPing({ kind }: Alarm): boolean {
  return /msg type \(N\) not supported|Received invalid msgType \(N\)/.test(kind);
}

function alarmOf(observer: string, line: string, names: ReadonlyMap<string, string>): Alarm {
  const text = line.replace(/^\s*\d{4}\/\d{2}\/\d{2} \d{2}:\d{2}:\d{2}\s*/, '');
  const subjects = new Set<string>();
  for (const [word] of text.matchAll(/\b[a-z]\d+\b|\b\d+\.\d+\.\d+\.\d+\b/g)) subjects.add(names.get(word) ?? word);
  subjects.delete(observer);
  const kind = text
    .replace(/\d+\.\d+\.\d+\.\d+(:\d+)?/g, 'IP')
    .replace(/\b[a-z]\d+\b/g, 'NAME')
    .replace(/\d+/g, 'N');
  return { observer, kind, subjects: [...subjects].toSorted(), line };
}

/** Kinds with how often: for people, and for the comparison of two arms. */
export function countKinds(alarms: readonly Alarm[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { kind, subjects } of alarms) {
    const key = `${kind} | ${subjects.join(' ')}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
