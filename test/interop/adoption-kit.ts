/** What a fence says of adoption through its admin API, and steps that are asked for before they are taken. */
import type { Test } from 'tap';
import type { StageOrigin } from '../../src/control/stage-types.ts';
import type { Stage } from '../../src/policy/stage.ts';
import type { AgainstCode, Readiness } from '../../src/ring/readiness-types.ts';
import { type Fence, fetchIn } from '../lab/fence.ts';
import type { Host } from '../lab/lab.ts';
import { eventually } from './peers.ts';

const STAGE_URL = 'http://127.0.0.1:9746/api/v1/stage';

export interface Against {
  readonly code: AgainstCode;
  readonly cuts: boolean;
  readonly name: string | null;
  readonly address: string | null;
  readonly text: string;
}

export interface Step {
  readonly to: Stage;
  readonly readiness: Readiness;
  readonly against: readonly Against[];
  readonly againstTotal: number;
  readonly notes: readonly string[];
}

/** One fence of `/api/v1/adoption`. */
export interface Adoption {
  readonly stage: Stage;
  readonly origin: StageOrigin;
  readonly steps: readonly Step[];
  readonly removable: { readonly yes: boolean; readonly why: string };
}

export async function adoptionOf(fence: Fence): Promise<Adoption> {
  const { fences } = (await fence.get('/api/v1/adoption')) as { fences: readonly Adoption[] };
  const [only] = fences;
  if (only === undefined) throw new Error('no fence in /api/v1/adoption');
  return only;
}

/** What readiness says of one step. */
export async function stepTo(fence: Fence, to: Stage): Promise<Step> {
  const { steps, stage } = await adoptionOf(fence);
  const step = steps.find((each) => each.to === to);
  if (step === undefined) throw new Error(`from ${stage} nothing is said of ${to}`);
  return step;
}

/** A step in one line, for messages. */
export function sayStep({ to, readiness, against, againstTotal }: Step): string {
  const rows = against.map(({ code, name, address, text }) => `${name ?? ''} ${address ?? ''} ${code}: ${text}`.trim());
  return `${to} is ${readiness}, ${againstTotal} against: ${rows.join('; ')}`;
}

export interface StageAnswer {
  readonly ok: boolean;
  /** The body, or why there is none. */
  readonly text: string;
}

/** POSTs a stage from inside the host. */
export async function askStage(host: Host, stage: Stage, force = false): Promise<StageAnswer> {
  const body = JSON.stringify(force ? { stage, force } : { stage });
  try {
    return { ok: true, text: await fetchIn(host, STAGE_URL, '-H', 'content-type: application/json', '-d', body) };
  } catch (error) {
    return { ok: false, text: (error as Error).message };
  }
}

export interface Guarded {
  readonly host: Host;
  readonly fence: Fence;
}

/** Waits until readiness calls the step safe, takes it without force, and sees it taken; gives how long it waited, ms. */
export async function advance(t: Test, { host, fence }: Guarded, to: Stage, timeoutMs: number): Promise<number> {
  const startMs = Date.now();
  const safe = eventually(`${host.name}: ${to} is safe`, timeoutMs, async () => {
    const step = await stepTo(fence, to);
    return step.readiness === 'safe' ? undefined : sayStep(step);
  });
  await t.resolves(safe, `${host.name}: ${to} becomes safe`);
  const waitedMs = Date.now() - startMs;
  const { ok, text } = await askStage(host, to);
  t.ok(ok, `${host.name}: ${to} is taken without force ${ok ? '' : text}`);
  t.equal(await fence.metric('stage', { stage: to }), 1, `${host.name} is at ${to}`);
  return waitedMs;
}

/** Frames of these kinds did cross with the label, so that the proof is about it. */
export async function assertLabelled(t: Test, name: string, fence: Fence, kinds: readonly string[]): Promise<void> {
  for (const kind of kinds) {
    const own = { direction: 'inbound', label_state: 'own', verdict: 'pass', kind };
    t.ok((await fence.metric('frames_total', own)) > 0, `labelled ${kind}s came to ${name}`);
  }
}
