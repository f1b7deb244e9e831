/**
 * Random rings of members whose dialects, fences and stages are known, and the evidence that a fence may have of them: partial, stale,
 * lying by omission. What is true goes through the real `decide`, so that whom a step cuts does not depend on what readiness thinks.
 */
import { createSnapshot, decide, type Snapshot } from '../../src/policy/decide.ts';
import type { Direction } from '../../src/policy/facts.ts';
import {
  type Dialect,
  type Dialects,
  needsTranslation,
  STAGES,
  type Stage,
  type Takes,
} from '../../src/policy/stage.ts';
import type { Evidence, FenceReport, ProbeLeg } from '../../src/ring/evidence.ts';
import type { Situation } from '../../src/ring/readiness.ts';
import {
  dnsRow,
  fenceAt,
  LEG,
  NO_FENCE,
  NOW_MS,
  probe,
  row,
  SECOND_MS,
  situation,
  WINDOW_MS,
} from './evidence-rows.ts';

/** A member of ours as it is. */
export interface Truth {
  readonly address: string;
  readonly fenced: boolean;
  readonly sends: Dialect;
  readonly takes: Takes;
  /** Of its fence. */
  readonly stage: Stage;
  readonly admitted: boolean;
  /** It sent the own label a while ago, and its last frames before now carried none. */
  readonly rolledBack: boolean;
}

export interface Model {
  readonly dialects: Dialects;
  readonly stage: Stage;
  readonly truths: readonly Truth[];
  readonly situation: Situation;
  /** Nothing is left out or stale. */
  readonly complete: boolean;
}

/** Numbers of one seed (mulberry32). */
export class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }
  chance(share: number): boolean {
    return this.next() < share;
  }
  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)] as T;
  }
}

const snapshots = new Map<string, Snapshot>();

function snapshotOf(stage: Stage, { sends, takes, wire }: Dialects): Snapshot {
  const key = `${stage} ${sends} ${takes} ${wire}`;
  const known =
    snapshots.get(key) ?? createSnapshot({ stage, sends, takes, wire, unterminatedTls: 'reject', shield: true });
  snapshots.set(key, known);
  return known;
}

interface Side extends Dialects {
  /** Undefined: no fence. */
  readonly stage: Stage | undefined;
  readonly admitsOther: boolean;
  readonly proven: boolean;
}

/** What a frame carries behind the fence of `side`; undefined when it is rejected. */
function through(side: Side, direction: Direction, state: Dialect): Dialect | undefined {
  if (side.stage === undefined) return state;
  const view = { admitted: side.admitsOther, proven: side.proven, foreign: false };
  const { verdict, rewrite } = decide({ direction, state }, view, snapshotOf(side.stage, side));
  if (verdict === 'reject') return undefined;
  return rewrite === 'keep' ? state : rewrite === 'add' ? 'own' : 'none';
}

function arrives(from: Side, to: Side): boolean {
  const wire = through(from, 'outbound', from.sends);
  const seen = wire === undefined ? undefined : through(to, 'inbound', wire);
  return seen !== undefined && (to.takes === 'any' || to.takes === seen);
}

function sideOf(truth: Truth, wire: Dialect): Side {
  const { sends, takes, fenced, stage } = truth;
  return { sends, takes, wire, stage: fenced ? stage : undefined, admitsOther: true, proven: true };
}

function oursAt(
  stage: Stage,
  { dialects, situation: { evidence } }: Pick<Model, 'dialects' | 'situation'>,
  truth: Truth,
): Side {
  const known = evidence.find(({ address }) => address === truth.address);
  const proven = known !== undefined && known.ownMs > 0 && NOW_MS - known.ownMs <= WINDOW_MS;
  return { ...dialects, stage, admitsOther: truth.admitted, proven };
}

/** Which ways a member loses frames with our fence at `stage`: "out" what we send it, "in" what it sends us. */
function losses(stage: Stage, model: Model, truth: Truth): { readonly out: boolean; readonly in: boolean } {
  const [us, them] = [oursAt(stage, model, truth), sideOf(truth, model.dialects.wire)];
  return { out: !arrives(us, them), in: !arrives(them, us) };
}

/** Addresses that lose frames at `to` which they did not lose before. */
export function newlyCut(to: Stage, model: Model): Set<string> {
  const cut = model.truths.filter((truth) => {
    const [before, after] = [losses(model.stage, model, truth), losses(to, model, truth)];
    return (after.out && !before.out) || (after.in && !before.in);
  });
  return new Set(cut.map(({ address }) => address));
}

/** Addresses that lose frames at `to` at all. */
export function cutAt(to: Stage, model: Model): Set<string> {
  const cut = model.truths.filter((truth) => {
    const after = losses(to, model, truth);
    return after.out || after.in;
  });
  return new Set(cut.map(({ address }) => address));
}

/** What it puts on the wire now. */
function spoken(truth: Truth, wire: Dialect): Dialect {
  return through(sideOf(truth, wire), 'outbound', truth.sends) ?? truth.sends;
}

/** A ring, and what a fence knows of it. */
export function drawModel(dice: Dice): Model {
  const wire: Dialect = dice.chance(0.75) ? 'none' : 'own';
  const dialects = drawDialects(dice, wire);
  const stage = dice.pick(needsTranslation(dialects) ? STAGES.slice(1) : STAGES);
  const bad = dice.pick([0, 0.1, 0.5]);
  const missing = dice.pick([0, 0, 0.1, 0.4]);
  const good = dice.pick(STAGES);
  const truths = Array.from({ length: 1 + Math.floor(dice.next() * 4) }, (_, i) =>
    drawTruth(dice, `10.0.0.${i + 1}`, wire, dice.chance(bad) ? dice.pick(STAGES) : good, bad),
  );
  const flags = drawFlags(dice, missing);
  const rows = truths.flatMap((truth) => drawRow(dice, truth, { wire, missing, flags }) ?? []);
  return {
    dialects,
    stage,
    truths,
    situation: situation(rows, { stage, dialects, ...flags }),
    complete: missing === 0 && !truths.some(({ rolledBack }) => rolledBack),
  };
}

function drawDialects(dice: Dice, wire: Dialect): Dialects {
  if (dice.chance(0.6)) return { sends: wire, takes: wire, wire };
  return { sends: dice.pick(['none', 'own']), takes: dice.pick(['none', 'own', 'any']), wire };
}

function drawTruth(dice: Dice, address: string, wire: Dialect, wanted: Stage, bad: number): Truth {
  const fenced = !dice.chance(bad);
  const { sends, takes } = fenced
    ? drawDialects(dice, wire)
    : dice.pick(BARE.filter((bare) => wire === 'none' || bare.sends === 'own'));
  const stage = wanted === 'observe' && needsTranslation({ sends, takes, wire }) ? 'accept' : wanted;
  const draft = { address, fenced, sends, takes, stage, admitted: !dice.chance(bad / 2), rolledBack: false };
  return { ...draft, rolledBack: spoken(draft, wire) === 'none' && dice.chance(bad / 2) };
}

/** Before labels, native and strict, native without verification, before labels without verification. */
const BARE = [
  { sends: 'none', takes: 'none' },
  { sends: 'own', takes: 'own' },
  { sends: 'own', takes: 'any' },
  { sends: 'none', takes: 'any' },
] as const satisfies readonly Pick<Truth, 'sends' | 'takes'>[];

type Flags = Pick<
  Situation,
  'tableMs' | 'watchedSinceMs' | 'peersEvictedMs' | 'membersEvictedMs' | 'sealedWithoutKeys' | 'dnsUnknown' | 'inspects'
>;

/** What the fence knows that it does not know. */
function drawFlags(dice: Dice, missing: number): Flags {
  const lost = () => dice.chance(missing / 2);
  return {
    inspects: !dice.chance(missing / 8),
    tableMs: lost() ? dice.pick([0, NOW_MS - 2 * WINDOW_MS]) : NOW_MS - SECOND_MS,
    watchedSinceMs: lost() ? NOW_MS - WINDOW_MS / 2 : NOW_MS - 2 * WINDOW_MS,
    peersEvictedMs: lost() ? NOW_MS - SECOND_MS : 0,
    membersEvictedMs: lost() ? NOW_MS - SECOND_MS : 0,
    sealedWithoutKeys: lost(),
    dnsUnknown: lost() ? ['ring.example'] : [],
  };
}

interface Knowing {
  readonly wire: Dialect;
  readonly missing: number;
  readonly flags: Flags;
}

/** The row of one member; undefined where nothing names it, which the flags then say. */
function drawRow(dice: Dice, truth: Truth, { wire, missing, flags }: Knowing): Evidence | undefined {
  const { inspects, tableMs, membersEvictedMs, dnsUnknown } = flags;
  const tableKnown = inspects && tableMs > NOW_MS - WINDOW_MS && membersEvictedMs === 0;
  const inGossip = inspects && (tableKnown ? !dice.chance(missing / 2) : dice.chance(0.5));
  // Whom a full table does not name DNS does, unless it has not answered.
  const inDns = inGossip ? dice.chance(0.3) : tableKnown && dnsUnknown.length === 0 ? true : dice.chance(0.3);
  if (!inGossip && !inDns) return undefined;
  const shown = {
    address: truth.address,
    admitted: truth.admitted,
    inDns,
    ...drawFrames(dice, truth, { wire, missing, flags }),
  };
  const leg = flags.sealedWithoutKeys ? undefined : drawLeg(dice, truth, missing);
  const asked = leg === undefined ? undefined : dice.chance(0.2) ? { packet: undefined, stream: leg } : probe(leg);
  const known = {
    ...shown,
    probe: asked,
    fence: drawFence(dice, truth, missing),
    fenced: truth.fenced && dice.chance(0.1),
  };
  const name = `m-${truth.address}`;
  if (!inGossip) return dnsRow(known);
  return row({ ...known, name, state: dice.chance(missing / 4) ? dice.pick(['suspect', 'dead']) : 'alive' });
}

/** What was heard of it. */
function drawFrames(
  dice: Dice,
  truth: Truth,
  { wire, missing, flags }: Knowing,
): Pick<Evidence, 'ownMs' | 'unlabelled' | 'ambiguous'> {
  const speaks = spoken(truth, wire);
  const heard = !dice.chance(missing);
  // What it last sent without the label is remembered, but where memory is short or was full; a fence that went back says so itself.
  const remembers = flags.watchedSinceMs <= NOW_MS - WINDOW_MS && flags.peersEvictedMs === 0 && !truth.fenced;
  const ownMs = speaks === 'own' ? NOW_MS - SECOND_MS : truth.rolledBack ? NOW_MS - 60 * SECOND_MS : 0;
  const silentNow = truth.rolledBack ? !remembers : !heard;
  const ambiguous = dice.chance(missing / 8);
  return {
    ambiguous,
    ownMs: ambiguous || (speaks === 'own' && !heard) ? 0 : ownMs,
    unlabelled:
      speaks === 'own' || silentNow
        ? undefined
        : { count: 14, sinceMs: NOW_MS - WINDOW_MS / 2, lastMs: NOW_MS - SECOND_MS },
  };
}

/** Whether it takes a labelled ping, as far as that is known. */
function drawLeg(dice: Dice, truth: Truth, missing: number): ProbeLeg | undefined {
  const takesOwn = (truth.fenced && truth.stage !== 'observe') || truth.takes !== 'none';
  const silent = dice.chance(0.5) ? LEG.silent : { ...LEG.silent, answeredMs: NOW_MS - 20 * SECOND_MS };
  if (!dice.chance(missing)) return takesOwn ? LEG.answered : silent;
  const stale = { ...LEG.answered, answeredMs: NOW_MS - 45 * SECOND_MS };
  return dice.pick([undefined, LEG.never, stale, silent]);
}

/** What its fence says; whoever went back says so, or does not answer properly. */
function drawFence(dice: Dice, truth: Truth, missing: number): FenceReport | undefined {
  const unknown: FenceReport = { outcome: 'unknown', problem: 'timeout', atMs: NOW_MS - SECOND_MS };
  if (!truth.fenced) return dice.chance(missing) ? dice.pick([undefined, unknown]) : NO_FENCE;
  if (!dice.chance(missing)) return fenceAt(truth.stage);
  const starting = fenceAt(truth.stage, { starting: true });
  return dice.pick(truth.rolledBack ? [undefined, unknown, starting] : [undefined, unknown, starting, NO_FENCE]);
}
