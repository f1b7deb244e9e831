/** The schedule of a run as events, each with the alarms that the members' logs told during it; and the comparison of two runs. */
import type { Test } from 'tap';
import { type Alarm, countKinds, type Journal } from './adoption-journal.ts';
import { sleep } from './serf-stand.ts';

/** Every member probes one other a second, so that within this time everyone is probed by somebody, several times. */
const AFTER_MS = 2_500;

export interface Events {
  /** Does one thing and lets the ring live on for `afterMs`; what alarms until then is this event's. */
  run<T>(name: string, action: () => Promise<T>, afterMs?: number): Promise<T>;
  readonly alarms: ReadonlyMap<string, readonly Alarm[]>;
}

export function recordEvents(t: Test, journal: Journal): Events {
  const alarms = new Map<string, readonly Alarm[]>();
  const startMs = Date.now();
  return {
    alarms,
    async run(name, action, afterMs = AFTER_MS) {
      // What happened since the last event happened in peace, and belongs to nobody's restart.
      const between = journal.take();
      if (between.length > 0) alarms.set(`before ${name}`, between);
      const fromMs = Date.now();
      const result = await action();
      await sleep(afterMs);
      const heard = journal.take();
      alarms.set(name, heard);
      const told = [...countKinds(heard)].map(([kind, count]) => `${count} × ${kind}`).join('; ');
      const atS = ((fromMs - startMs) / 1_000).toFixed(0);
      t.comment(`${atS} s: ${name}: ${((Date.now() - fromMs) / 1_000).toFixed(1)} s${told && `: ${told}`}`);
      return result;
    },
  };
}

/**
 * Whoever leaves in good order is failed in the eyes of those whom its death reaches before its intent (serf tells them apart by what was heard
 * first), and may find its own socket closed already: part of a restart, at random.
 */
export function isLeaving(event: string, { observer, kind, subjects }: Alarm): boolean {
  if (event === restartOf(observer)) return kind.includes('use of closed network connection');
  return kind.includes('EventMemberFailed') && subjects.length === 1 && event === restartOf(subjects[0] as string);
}

/** The name of the event in which a member is restarted. */
export const restartOf = (name: string) => `roll in ${name}`;

/** Lines of one run about connections on which a ping was not answered in time, though the member was found alive at once by way of others. */
const LATE_MAX = 3;

/** A busy machine: the datagram was late, and so was the connection beside it. Whoever is lost is suspected too. */
function isLate(alarm: Alarm, event: readonly Alarm[]): boolean {
  const suspected = event.some(
    ({ kind, subjects }) => /Suspect|Failed: /.test(kind) && subjects.some((name) => alarm.subjects.includes(name)),
  );
  return /Failed fallback ping: read tcp .*i\/o timeout/.test(alarm.kind) && !suspected;
}

/**
 * Asserts that `fenced` has no alarm of a kind and about a member that `control` has not in the event of the same name (none, where it has no
 * such event), what `excused` names aside; and that in both the same members failed in the eyes of the same.
 */
export function assertNoMore(
  t: Test,
  fenced: Events,
  control: Events,
  excused: (event: string, alarm: Alarm) => boolean,
): void {
  let late = 0;
  for (const [name, alarms] of fenced.alarms) {
    const known = countKinds(control.alarms.get(name) ?? []);
    const more = alarms.filter((alarm) => ![...countKinds([alarm]).keys()].some((key) => known.has(key)));
    const strange = more.filter((alarm) => !isLeaving(name, alarm) && !excused(name, alarm));
    late += strange.filter((alarm) => isLate(alarm, alarms)).length;
    t.strictSame(
      strange.filter((alarm) => !isLate(alarm, alarms)).map(({ observer, line }) => `${observer}: ${line}`),
      [],
      `${name}: nothing alarms that the same restarts without fences do not`,
    );
  }
  t.ok(late <= LATE_MAX, `${late} pings were answered late, and nobody was suspected for it`);
  const failures = (events: Events) =>
    [...events.alarms].flatMap(([name, alarms]) =>
      alarms
        .filter((alarm) => alarm.kind.includes('EventMemberFailed') && !isLeaving(name, alarm))
        .map(({ observer, subjects }) => `${name}: ${observer} lost ${subjects}`),
    );
  t.strictSame(failures(fenced).toSorted(), failures(control).toSorted(), 'the same members failed, in the same eyes');
}
