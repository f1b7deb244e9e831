/** Readiness against the truth: safe cuts nobody; with force, whoever is cut was named; and each rule is needed for that. */
import t from 'tap';
import { needsTranslation, STAGE_INDEX, STAGES, type Stage } from '../../src/policy/stage.ts';
import { readiness } from '../../src/ring/readiness.ts';
import type { AgainstCode, Step } from '../../src/ring/readiness-types.ts';
import { cutAt, Dice, drawModel, type Model, newlyCut } from './readiness-model.ts';

const RINGS = 20_000;
const SEED = 20_261_122;

/** Every step of every ring, one after the other; ends early when `visit` gives false. */
function walk(rings: number, visit: (step: Step, model: Model, seed: number) => boolean): void {
  for (let seed = SEED; seed < SEED + rings; seed++) {
    const model = drawModel(new Dice(seed));
    for (const to of STAGES) {
      // What a fence cannot be at all is refused before anybody asks.
      if (to === model.stage || (to === 'observe' && needsTranslation(model.dialects))) continue;
      if (!visit(readiness(to, model.situation), model, seed)) return;
    }
  }
}

/** Whom a step would cut that neither a row of its own names nor one about the whole ring. */
function unnamed(step: Step, model: Model, cut: readonly string[]): readonly string[] {
  const named = new Set(step.against.map(({ address }) => address));
  const known = new Set(model.situation.evidence.map(({ address }) => address));
  const covered = (address: string) =>
    named.has(address) || (named.has(undefined) && !(known.has(address) && model.complete));
  return cut.filter((address) => !covered(address));
}

/** Rows that call somebody cut who is not. A member without verification takes both: nothing shows that. */
function wronglyCut(step: Step, model: Model): readonly string[] {
  const cut = cutAt(step.to, model);
  const rows = step.against.filter(({ cuts, code }) => cuts && code !== 'bare_labelled');
  return rows.flatMap(({ address }) => (address === undefined || cut.has(address) ? [] : [address]));
}

t.test('in rings of every kind, with evidence that is partial, stale or left out', async (t) => {
  const safe: Record<Stage, number> = { observe: 0, accept: 0, label: 0, enforce: 0 };
  const wrong: unknown[] = [];
  let forced = 0;
  walk(RINGS, (step, model, seed) => {
    const { to } = step;
    const up = STAGE_INDEX[to] > STAGE_INDEX[model.stage];
    const cut = [...newlyCut(to, model)];
    const note = (what: string, addresses: readonly string[]) => {
      if (addresses.length > 0) wrong.push({ what, seed, from: model.stage, to, addresses, step });
    };
    if (step.readiness === 'safe') note('cut by a step that was called safe', cut);
    if (step.readiness === 'safe' && up) safe[to]++;
    note('cut and not named', unnamed(step, model, cut));
    if (model.complete) {
      note('named as cut and not cut', wronglyCut(step, model));
      if (up && step.readiness !== 'unsafe') note('cut by a step up that all the evidence does not call unsafe', cut);
      if (cut.length > 0) forced++;
    }
    return wrong.length < 3;
  });
  t.strictSame(wrong, []);
  for (const to of ['accept', 'label', 'enforce'] as const)
    t.ok(safe[to] > 100, `${safe[to]} steps to ${to} were safe`);
  t.ok(forced > RINGS / 20, `${forced} steps with all the evidence cut somebody`);
});

/** Readiness as if a rule did not exist. */
function without(code: AgainstCode, step: Step): Step {
  const against = step.against.filter((row) => row.code !== code);
  return { ...step, against, readiness: against.length === 0 ? 'safe' : step.readiness };
}

const NEEDED: readonly AgainstCode[] = [
  'not_admitted',
  'drops_labelled',
  'not_asked_yet',
  'never_seen',
  'sends_unlabelled',
  'not_heard',
  'fence_behind',
  'fence_ahead',
  'bare_labelled',
  'fence_unknown',
  'ambiguous',
  'members_unknown',
  'window_short',
  'memory_evicted',
  'sealed_without_keys',
  'dns_unknown',
];

for (const code of NEEDED) {
  t.test(`without ${code} a step that cuts somebody is called safe`, async (t) => {
    let found = false;
    walk(10 * RINGS, (step, model) => {
      const broken = step.readiness !== 'safe' && without(code, step).readiness === 'safe';
      found = broken && newlyCut(step.to, model).size > 0;
      return !found;
    });
    t.ok(found);
  });
}
