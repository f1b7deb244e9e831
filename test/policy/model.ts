/**
 * A model of two members of one ring, exhaustively explored: what each app sends goes through the sender's fence and the receiver's,
 * by the real `decide`. Two are enough: every decision looks at one peer, and a third member only forbids steps (it must be ready too).
 *
 * A step is: a frame that is sent (and remembered, or not), a fence that restarts, evidence that expires, a stage up when it is safe
 * to enter, a stage down at any time. Stages stay at most one apart, because a cluster moves together.
 */
import { createSnapshot, decide, type Rewrite, type Snapshot } from '../../src/policy/decide.ts';
import type { Direction } from '../../src/policy/facts.ts';
import {
  type Dialect,
  needsTranslation,
  STAGE_INDEX,
  STAGES,
  type Stage,
  type Takes,
  wireDialect,
} from '../../src/policy/stage.ts';

/** An app, with a fence in front of it or bare. */
export interface Member {
  readonly fenced: boolean;
  readonly sends: Dialect;
  readonly takes: Takes;
}

/** What a fence remembers of the other member. `last` is for the tempting rule only: decide never sees it. */
export interface Remembered {
  readonly proven: boolean;
  readonly last: Dialect | 'unknown';
}

/** One moment. Stage and memory of a bare member mean nothing. */
export interface State {
  readonly stages: readonly [Stage, Stage];
  readonly memory: readonly [Remembered, Remembered];
}

export interface Ring {
  readonly members: readonly [Member, Member];
  readonly wire: Dialect;
  /** Whether the admission rules name both: the condition for `accept`. */
  readonly admitted: boolean;
}

export interface Fence {
  readonly snapshot: Snapshot;
  readonly stage: Stage;
  readonly admitted: boolean;
  readonly memory: Remembered;
}

/** What a fence does with a frame: its rewriting, or undefined when it rejects. */
export type Rule = (fence: Fence, direction: Direction, state: Dialect) => Rewrite | undefined;

/** The rule of the product. */
export const REAL: Rule = ({ snapshot, admitted, memory }, direction, state) => {
  const decision = decide({ direction, state }, { admitted, proven: memory.proven, foreign: false }, snapshot);
  return decision.verdict === 'pass' ? decision.rewrite : undefined;
};

/** Tempting, wrong: answer in the dialect that the peer last spoke. */
export const ANSWER_IN_KIND: Rule = (fence, direction, state) => {
  const { last } = fence.memory;
  if (direction === 'inbound' || fence.stage === 'observe' || last === 'unknown') return REAL(fence, direction, state);
  return last === state ? 'keep' : last === 'own' ? 'add' : 'strip';
};

/** Tempting, wrong: reject a peer that falls back from own to none already before `enforce`. */
export const REJECT_FALL_BACK: Rule = (fence, direction, state) => {
  const fallen = direction === 'inbound' && state === 'none' && fence.memory.proven;
  return fallen && fence.stage !== 'observe' ? undefined : REAL(fence, direction, state);
};

const snapshots = new Map<string, Snapshot>();

function fenceOf(ring: Ring, state: State, side: 0 | 1): Fence {
  const { sends, takes } = ring.members[side];
  const stage = state.stages[side];
  const key = `${stage} ${sends} ${takes} ${ring.wire}`;
  let snapshot = snapshots.get(key);
  if (snapshot === undefined) {
    snapshot = createSnapshot({ stage, sends, takes, wire: ring.wire, unterminatedTls: 'reject', shield: true });
    snapshots.set(key, snapshot);
  }
  return { snapshot, stage, admitted: ring.admitted, memory: state.memory[side] };
}

function rewrite(state: Dialect, how: Rewrite): Dialect {
  if (how === 'keep') return state;
  const becomes = how === 'add' ? 'own' : 'none';
  if (becomes === state) throw new Error(`${how} of a frame that is ${state} already`);
  return becomes;
}

/** One frame from one app to the other: what it was on the wire, and whether the other app took it. */
export function deliver(
  ring: Ring,
  state: State,
  from: 0 | 1,
  rule: Rule,
): { wire: Dialect | undefined; taken: boolean } {
  const to = from === 0 ? 1 : 0;
  const [sender, receiver] = [ring.members[from], ring.members[to]];
  const out = sender.fenced ? rule(fenceOf(ring, state, from), 'outbound', sender.sends) : 'keep';
  if (out === undefined) return { wire: undefined, taken: false };
  const wire = rewrite(sender.sends, out);
  const into = receiver.fenced ? rule(fenceOf(ring, state, to), 'inbound', wire) : 'keep';
  if (into === undefined) return { wire, taken: false };
  const dialect = rewrite(wire, into);
  return { wire, taken: receiver.takes === 'any' || receiver.takes === dialect };
}

const translates = (stage: Stage) => stage !== 'observe';

function takesOwn(ring: Ring, state: State, side: 0 | 1): boolean {
  const { fenced, takes } = ring.members[side];
  return (fenced && translates(state.stages[side])) || takes !== 'none';
}

function sendsOwn(ring: Ring, state: State, side: 0 | 1): boolean {
  const { fenced, sends } = ring.members[side];
  const stage = state.stages[side];
  return fenced && stage !== 'observe' ? wireDialect(stage, ring.wire) === 'own' : sends === 'own';
}

/** The design's column "safe to enter when", and observe's own condition. */
function safeToEnter(stage: Stage, ring: Ring, state: State, side: 0 | 1): boolean {
  const other = side === 0 ? 1 : 0;
  switch (stage) {
    case 'observe':
      return !needsTranslation({ ...ring.members[side], wire: ring.wire });
    case 'accept':
      return ring.admitted;
    case 'label':
      return takesOwn(ring, state, other);
    case 'enforce':
      return sendsOwn(ring, state, other);
  }
}

/** Which stages may stand beside a bare member (design: who may coexist). */
function besideBare(stage: Stage, bare: Member, wire: Dialect): boolean {
  if (wire === 'own') return bare.sends === 'own';
  return bare.sends === 'none' ? STAGE_INDEX[stage] <= STAGE_INDEX.accept : STAGE_INDEX[stage] >= STAGE_INDEX.label;
}

function allowed(ring: Ring, stages: readonly [Stage, Stage]): boolean {
  const [a, b] = ring.members;
  if (!a.fenced) return besideBare(stages[1], a, ring.wire);
  if (!b.fenced) return besideBare(stages[0], b, ring.wire);
  return Math.abs(STAGE_INDEX[stages[0]] - STAGE_INDEX[stages[1]]) <= 1;
}

const EMPTY: Remembered = { proven: false, last: 'unknown' };

function put<T>(pair: readonly [T, T], side: 0 | 1, value: T): readonly [T, T] {
  return side === 0 ? [value, pair[1]] : [pair[0], value];
}

function successors(ring: Ring, state: State, rule: Rule): State[] {
  const next: State[] = [];
  for (const side of [0, 1] as const) {
    if (!ring.members[side].fenced) continue;
    const memory = (value: Remembered) => next.push({ ...state, memory: put(state.memory, side, value) });
    memory(EMPTY);
    memory({ ...state.memory[side], proven: false });
    const { wire } = deliver(ring, state, side === 0 ? 1 : 0, rule);
    if (wire !== undefined) memory({ proven: state.memory[side].proven || wire === 'own', last: wire });
    const index = STAGE_INDEX[state.stages[side]];
    for (const [stage, up] of [
      [STAGES[index + 1], true],
      [STAGES[index - 1], false],
    ] as const) {
      if (stage === undefined) continue;
      const stages = put(state.stages, side, stage);
      // A roll-back asks nobody; only an app that observe would cut off cannot go there.
      const may = up || stage === 'observe' ? safeToEnter(stage, ring, state, side) : true;
      if (may && allowed(ring, stages)) next.push({ ...state, stages });
    }
  }
  return next;
}

/** Where a ring starts: everyone at the lowest stage that its app and its bare neighbour allow. */
export function starts(ring: Ring): State[] {
  const lowest = (side: 0 | 1): Stage[] =>
    STAGES.filter((stage) => stage !== 'observe' || !needsTranslation({ ...ring.members[side], wire: ring.wire }));
  const pairs = lowest(0).flatMap((a) => lowest(1).map((b) => [a, b] as const));
  const first = pairs.find((stages) => allowed(ring, stages));
  return first === undefined ? [] : [{ stages: first, memory: [EMPTY, EMPTY] }];
}

/** Every state that can be reached. At most 4 x 4 stages x 6 x 6 memories. */
export function explore(ring: Ring, rule: Rule): State[] {
  const seen = new Map<string, State>();
  const queue = starts(ring);
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    const key = JSON.stringify(state);
    if (seen.has(key)) continue;
    seen.set(key, state);
    queue.push(...successors(ring, state, rule));
  }
  return [...seen.values()];
}
