/** Rings that climb by themselves: watching, for what they do and for what they must not. */
import type { Test } from 'tap';
import { STAGE_INDEX, STAGES, type Stage } from '../../src/policy/stage.ts';
import { type Events, isLeaving, recordEvents, restartOf } from './adoption-events.ts';
import { type Alarm, isDroppedPing } from './adoption-journal.ts';
import { createOwnRejections, type OwnRejections } from './adoption-rejections.ts';
import { type AdoptionRing, addBare, createAdoptionRing, type Seat, SHORT } from './adoption-ring.ts';
import { sleep } from './serf-stand.ts';

const LOOK_MS = 500;

/** serf's first push/pull of its own comes 30 to 60 s after its start: in this window nobody is ever without a full table again. */
const PACE = { ...SHORT, memory: { window: '65s' } };

export interface AutoRing {
  readonly ring: AdoptionRing;
  readonly events: Events;
  readonly rejections: OwnRejections;
  /** When each fence was first seen at each stage, ms since the last fence was started: "a1 label". */
  readonly seenMs: ReadonlyMap<string, number>;
  /** Restarts one more member, with a fence that climbs by itself. */
  rollIn(name: string): Promise<void>;
  /** Looks until every fence is at `stage`; rejects after `timeoutMs`. */
  untilAll(stage: Stage, timeoutMs: number): Promise<void>;
  /** Looks for `ms`. */
  watch(ms: number): Promise<void>;
  /** Nobody suspected anybody, no fence rejected one of its own, and fences were at most one stage apart whenever somebody looked. */
  assertCalm(t: Test): Promise<void>;
}

export async function createAutoRing(t: Test, labName: string, names: readonly string[]): Promise<AutoRing> {
  const ring = await createAdoptionRing(t, labName, PACE);
  await addBare(ring, names, names);
  const events = recordEvents(t, ring.journal);
  const rejections = createOwnRejections(ring);
  const seenMs = new Map<string, number>();
  const apart: string[] = [];
  const alarms: string[] = [];
  let startedMs = Date.now();
  const fenced = () => ring.running().filter(({ fence }) => fence !== undefined);
  const look = async (): Promise<readonly Stage[]> => {
    const stages = await Promise.all(fenced().map(stageOf));
    const shown = fenced().map(({ name }, i) => `${name} ${stages[i]}`);
    for (const text of shown) if (!seenMs.has(text)) seenMs.set(text, Date.now() - startedMs);
    const ranks = stages.map((stage) => STAGE_INDEX[stage]);
    if (Math.max(...ranks) - Math.min(...ranks) > 1) apart.push(shown.join(', '));
    return stages;
  };
  const until = async (done: (stages: readonly Stage[]) => boolean, timeoutMs: number): Promise<boolean> => {
    const deadlineMs = Date.now() + timeoutMs;
    while (!done(await look())) {
      if (Date.now() > deadlineMs) return false;
      await sleep(LOOK_MS);
    }
    return true;
  };
  return {
    ring,
    events,
    rejections,
    seenMs,
    async rollIn(name) {
      await events.run(restartOf(name), () => ring.restart(name, { stage: 'auto' }), 0);
      startedMs = Date.now();
    },
    async untilAll(stage, timeoutMs) {
      const came = await until((stages) => stages.every((each) => each === stage), timeoutMs);
      if (came) return;
      const said = await Promise.all(
        fenced().map(async ({ name, fence }) => `${name}: ${JSON.stringify(await fence?.get('/api/v1/adoption'))}`),
      );
      throw new Error(`not everyone is at ${stage} after ${timeoutMs} ms:\n${said.join('\n')}`);
    },
    watch: async (ms) => void (await until(() => false, ms)),
    async assertCalm(t) {
      await events.run('at the end', async () => {}, 0);
      for (const [name, heard] of events.alarms)
        alarms.push(
          ...heard
            .filter((alarm) => isUnrest(alarm) && !isLeaving(name, alarm))
            .map(({ observer, line }) => `${name}: ${observer}: ${line}`),
        );
      const pinged = [...events.alarms.values()].flat().filter(isDroppedPing);
      t.comment(`${pinged.length} lines about labelled pings that were dropped`);
      t.strictSame(alarms, [], 'nobody suspected, lost or misunderstood anybody');
      t.strictSame(apart, [], 'fences were never more than one stage apart');
      t.strictSame(await rejections.grown(), [], 'no fence rejected one of its own');
    },
  };
}

/** Who comes back refutes that it left: its own doing. */
const isUnrest = (alarm: Alarm) => !alarm.kind.includes('Refuting a dead message') && !isDroppedPing(alarm);

async function stageOf({ name, fence }: Seat): Promise<Stage> {
  const samples = (await fence?.metrics()) ?? [];
  const at = samples.find((sample) => sample.name === 'ringfence_stage' && sample.value === 1)?.labels['stage'];
  const stage = STAGES.find((each) => each === at);
  if (stage === undefined) throw new Error(`${name} is at no stage`);
  return stage;
}
