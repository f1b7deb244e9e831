/**
 * What the demo plays: two rings form, a member dies, its address goes to a pod of the other cluster, and members that remember the
 * address dial it, for ever. Without fences that merges the rings; with fences it is rejected and counted.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatEndpoint } from '../wire/address.ts';
import type { Narrator, Tone } from './narrator.ts';
import { CLUSTERS, type ClusterName, listOf, type Pod, type Pods } from './pods.ts';

/** Acts follow each other at a pace that people can read. */
const PACE_MS = 1_500;
/** How often a member that remembers the recycled address dials it: dskit's rejoin does so for ever, from stale DNS. */
const REJOIN_MS = 5_000;
const SUMMARY_MS = 10_000;
const FORM_TIMEOUT_MS = 10_000;
/** How long bare rings get to merge before the demo admits that it has failed. */
const MERGE_TIMEOUT_MS = 20_000;
/** Dials that are told one by one; the summary counts the rest. */
const DIALS_TOLD_MAX = 3;

export interface Rejected {
  readonly packets: number;
  readonly streams: number;
}

export interface Play {
  readonly pods: Pods;
  readonly narrator: Narrator;
  /** Ends the story when it aborts. */
  readonly signal: AbortSignal;
}

const TONES: Readonly<Record<ClusterName, Tone>> = { 'tempo-blue': 'blue', 'tempo-green': 'green' };

/** Acts one to three: the rings form, and the address changes hands. Rejects with what could not start, or on abort. */
export async function playOpening({ pods, narrator, signal }: Play): Promise<void> {
  for (const [cluster, names] of [
    ['tempo-blue', ['blue-0', 'blue-1']],
    ['tempo-green', ['green-0', 'green-1', 'green-2']],
  ] as const) {
    for (const name of names) await startAndJoin(pods, name);
    await until(() => pods.running(cluster).every((pod) => listOf(pod).length === names.length), signal);
    narrator.say(TONES[cluster], cluster, `the ring stands: ${names.join(', ')}`);
  }
  await sleep(PACE_MS, undefined, { signal });
  const [lost] = pods.running('tempo-green').filter(({ spec }) => spec.name === 'green-2');
  const address = lost?.spec.endpoint.address ?? '';
  await pods.kill('green-2');
  narrator.say('green', 'tempo-green', `green-2 dies without a goodbye; its address ${address} is free again`);
  await sleep(PACE_MS, undefined, { signal });
  await startAndJoin(pods, 'blue-2');
  narrator.say('blue', 'tempo-blue', `scales up: the new pod blue-2 is given ${address}, the address that green-2 had`);
}

/** Starts a pod; it joins the first of its cluster. */
async function startAndJoin(pods: Pods, name: string): Promise<Pod> {
  const pod = await pods.start(name);
  const [first] = pods.running(pod.spec.cluster);
  if (first !== undefined && first !== pod) await pod.member.join(first.spec.endpoint);
  return pod;
}

/** A green member dials the address that it remembers. */
async function rejoin({ pods, narrator, signal }: Play, turn: number): Promise<void> {
  const greens = pods.running('tempo-green').filter(({ spec }) => spec.name !== 'green-3');
  const dialler = greens[turn % greens.length];
  const target = pods.running('tempo-blue').find(({ spec }) => spec.name === 'blue-2');
  if (dialler === undefined || target === undefined) return;
  const where = formatEndpoint(target.spec.endpoint);
  const tell = (tone: Tone, what: string) => {
    if (turn < DIALS_TOLD_MAX && !signal.aborted) narrator.say(tone, 'tempo-green', what);
  };
  tell('green', `${dialler.spec.name} remembers a member at ${where} and dials it to join`);
  try {
    const states = await dialler.member.join(target.spec.endpoint);
    narrator.say('alarm', 'tempo-green', `${dialler.spec.name} was answered with ${states} members of another cluster`);
  } catch (error) {
    tell('green', `${dialler.spec.name} was turned away: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (turn === DIALS_TOLD_MAX - 1)
    narrator.print(`          (it goes on every ${REJOIN_MS / 1_000} s; only the summary counts it from here)`);
}

/** The last act behind fences: for ever, until the signal. Rejects with an AbortError only. */
export async function playFenced(play: Play, rejected: () => Rejected): Promise<never> {
  const { pods, narrator, signal } = play;
  const openedMs = performance.now();
  let summaryMs = openedMs + SUMMARY_MS;
  for (let turn = 0; ; turn++) {
    await rejoin(play, turn);
    if (turn === 0) {
      await startAndJoin(pods, 'green-3');
      narrator.say('green', 'tempo-green', 'green-3 replaces green-2, at an address of its own');
    }
    const nextMs = openedMs + (turn + 1) * REJOIN_MS;
    await sleep(Math.max(0, nextMs - performance.now()), undefined, { signal });
    if (performance.now() < summaryMs) continue;
    summaryMs += SUMMARY_MS;
    summarise(play, rejected());
  }
}

function summarise({ pods, narrator }: Play, { packets, streams }: Rejected): void {
  const rings = CLUSTERS.map((cluster) => {
    const lists = pods.running(cluster).map(listOf);
    const own = lists.every((list) => list.every((name) => name.startsWith(cluster.replace('tempo-', ''))));
    return own
      ? `${cluster} ${Math.max(...lists.map((list) => list.length))} members`
      : `${cluster} HAS FOREIGN MEMBERS`;
  });
  narrator.say('fence', 'summary', `${rings.join(' · ')} · rejected ${packets} packets, ${streams} connections`);
}

/** The last act without fences; resolves with whether every member lists those of both clusters. Rejects on abort. */
export async function playBare(play: Play): Promise<boolean> {
  const { pods, narrator, signal } = play;
  const everyone = () => CLUSTERS.flatMap((cluster) => pods.running(cluster));
  await startAndJoin(pods, 'green-3');
  narrator.say('green', 'tempo-green', 'green-3 replaces green-2, at an address of its own');
  await rejoin(play, 0);
  const names = () => everyone().map(({ spec }) => spec.name);
  const merged = () => everyone().every((pod) => names().every((name) => listOf(pod).includes(name)));
  const done = await until(merged, signal, MERGE_TIMEOUT_MS).then(
    () => true,
    (error: unknown) => {
      if (signal.aborted) throw error;
      return false;
    },
  );
  // Merging takes a moment, noticing a death takes seconds: green-2 may be in the lists still.
  const living = new Set(names());
  for (const pod of everyone()) {
    const list = listOf(pod).map((name) => (living.has(name) ? name : `${name} (dead, not noticed yet)`));
    narrator.say(done ? 'alarm' : 'plain', pod.spec.name, `${list.length} members in its list: ${list.join(' ')}`);
  }
  return done;
}

/** Resolves once `condition` holds; rejects after `timeoutMs`, or on abort. */
async function until(condition: () => boolean, signal: AbortSignal, timeoutMs = FORM_TIMEOUT_MS): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`the rings did not get there within ${timeoutMs} ms`);
    await sleep(50, undefined, { signal });
  }
}
