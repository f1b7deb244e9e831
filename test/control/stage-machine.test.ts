/** Every change of a stage goes through one guard. */
import t from 'tap';
import { changeText } from '../../src/control/stage-machine.ts';
import { STAGE_INDEX, STAGES } from '../../src/policy/stage.ts';
import type { Readiness } from '../../src/ring/readiness-types.ts';
import { against, machineAt, NONE, stepTo, wish } from './stages.ts';

t.test('every step between two stages, at every readiness, with and without force', async (t) => {
  for (const from of STAGES) {
    for (const to of STAGES) {
      for (const readiness of ['safe', 'unsafe', 'unknown'] as const satisfies readonly Readiness[]) {
        for (const force of [false, true]) {
          const made = machineAt(from);
          made.steps.set(to, stepTo(to, readiness, ...(readiness === 'safe' ? [] : [against('a')])));
          const up = STAGE_INDEX[to] - STAGE_INDEX[from];
          const allowed =
            force || up === 0 || (up === 1 && readiness === 'safe') || (up === -1 && readiness !== 'unsafe');
          const answer = await made.machine.request(wish(to, { force }));
          const name = `${from} to ${to}, ${readiness}${force ? ', forced' : ''}`;
          t.equal(answer.ok, allowed, name);
          t.equal(made.machine.stage(), allowed ? to : from, name);
          t.strictSame(made.applied, allowed && up !== 0 ? [to] : [], name);
          if (!answer.ok) t.notOk(answer.final, `${name}: force would help`);
        }
      }
    }
  }
});

t.test('a refusal names who stands against it; forced, the answer does', async (t) => {
  const { machine, steps } = machineAt('accept');
  const rows = ['a', 'b', 'c\n', 'd'].map((name) => against(name));
  steps.set('label', stepTo('label', 'unsafe', ...rows));
  const refused = await machine.request(wish('label'));
  t.match(refused, { ok: false, step: { againstTotal: 4 } });
  t.equal(
    refused.ok ? '' : refused.why,
    'label is not safe: a 10.0.0.7: drops labelled pings; b 10.0.0.7: drops labelled pings; c\\x0a 10.0.0.7: drops labelled pings; and 1 more',
  );
  t.match(await machine.request(wish('label', { force: true })), {
    ok: true,
    from: 'accept',
    to: 'label',
    step: { against: rows },
  });
  steps.set('enforce', stepTo('enforce', 'unknown'));
  t.match(await machine.request(wish('enforce')), { ok: false, why: 'enforce is not known to be safe' });
});

t.test('what cannot be is final', async (t) => {
  const ceiling = { stage: 'accept', why: 'egress is unseen' } as const;
  const low = machineAt('accept', { bounds: () => ({ dialects: NONE, ceiling }) });
  t.match(await low.machine.request(wish('label', { force: true })), {
    ok: false,
    final: true,
    why: 'label cannot be: egress is unseen',
  });
  const translating = machineAt('accept', {
    bounds: () => ({ dialects: { ...NONE, wire: 'own' }, ceiling: undefined }),
  });
  t.match(await translating.machine.request(wish('observe', { force: true })), { ok: false, final: true });
  t.strictSame([low.applied, translating.applied], [[], []]);
});

t.test('one change at a time, and the answer comes when it is in force', async (t) => {
  let inForce = () => {};
  const { machine, changes } = machineAt('accept', {
    apply: () =>
      new Promise((resolve) => {
        inForce = resolve;
      }),
  });
  const first = machine.request(wish('label'));
  t.match(await machine.request(wish('accept')), { ok: false, why: /another change .* is under way/, final: false });
  t.match(machine.refusal(wish('accept')), { why: /under way/ });
  t.strictSame(changes, [], 'nothing is told before it is in force');
  inForce();
  t.match(await first, { ok: true, to: 'label' });
  t.match(changes, [{ from: 'accept', to: 'label', origin: 'api' }]);
  const back = machine.request(wish('accept'));
  await new Promise((resolve) => setImmediate(resolve));
  inForce();
  t.match(await back, { ok: true }, 'and then the next one');
});

t.test('an apply that fails does not lock the machine', async (t) => {
  let fail = true;
  const { machine } = machineAt('accept', {
    apply: async () => {
      if (fail) throw new Error('no worker');
    },
  });
  await t.rejects(machine.request(wish('label')), /no worker/);
  fail = false;
  t.match(await machine.request(wish('enforce')), { ok: true });
});

t.test('a start: its end is taken once, whoever says it', async (t) => {
  const peers = machineAt('observe', { starting: true, start: { stage: 'observe', origin: 'default' } });
  t.ok(peers.machine.starting());
  t.match(await peers.machine.request(wish('observe')), { ok: false, why: /not known yet/, final: false });
  t.match(await peers.machine.request(wish('label', { origin: 'auto' })), { ok: false });
  await peers.machine.begin('enforce', 'peers', 'three at enforce');
  t.match([peers.machine.starting(), peers.machine.stage(), peers.machine.origin()], [false, 'enforce', 'peers']);
  await peers.machine.begin('observe', 'default', 'late');
  t.equal(peers.machine.stage(), 'enforce', 'a late answer changes nothing');
  t.strictSame(peers.machine.changes(), [{ to: 'enforce', origin: 'peers', count: 1 }]);

  const forced = machineAt('observe', { starting: true });
  t.match(await forced.machine.request(wish('observe', { force: true })), { ok: true }, 'an operator may set it');
  t.strictSame([forced.machine.starting(), forced.applied], [false, ['observe']]);
  await forced.machine.begin('enforce', 'peers', 'late');
  t.equal(forced.machine.stage(), 'observe');

  const named = machineAt('observe', { starting: true });
  t.match(
    await named.machine.request(wish('enforce', { origin: 'config' })),
    { ok: true },
    'a configuration goes before',
  );
  const ceiling = { stage: 'accept', why: 'egress' } as const;
  const low = machineAt('observe', { starting: true, bounds: () => ({ dialects: NONE, ceiling }) });
  t.match(await low.machine.request(wish('label', { force: true })), { ok: false, final: true });
});

t.test('changes are counted by where they led and who made them', async (t) => {
  const { machine } = machineAt('accept');
  for (const stage of ['label', 'accept', 'label'] as const) await machine.request(wish(stage));
  await machine.request(wish('enforce', { origin: 'config', by: 'the configuration' }));
  await machine.request(wish('enforce'));
  t.strictSame(machine.changes(), [
    { to: 'label', origin: 'api', count: 2 },
    { to: 'accept', origin: 'api', count: 1 },
    { to: 'enforce', origin: 'config', count: 1 },
  ]);
});

t.test('a change in words', async (t) => {
  const row = against('a');
  const base = { from: 'accept', to: 'label', origin: 'api', by: '10.0.0.1' } as const;
  t.equal(
    changeText({ ...base, force: true, step: stepTo('label', 'unsafe', row) }),
    'stage changed from accept up to label by 10.0.0.1, forced; readiness: unsafe (a 10.0.0.7: drops labelled pings)',
  );
  t.equal(
    changeText({ ...base, from: 'enforce', force: false, step: stepTo('label', 'safe') }),
    'stage changed from enforce down to label by 10.0.0.1; readiness: safe',
  );
  t.equal(
    changeText({ ...base, origin: 'peers', by: '3 at label', force: false, step: undefined }),
    'stage label: 3 at label',
  );
});

t.test('peers that answer late move a fence that took the default, and no other', async (t) => {
  const late = machineAt('observe', { starting: true, start: { stage: 'observe', origin: 'default' } });
  await late.machine.begin('observe', 'default', 'nobody answers');
  await late.machine.begin('accept', 'default', 'no peer says so');
  t.equal(late.machine.stage(), 'observe');
  await late.machine.begin('enforce', 'peers', 'three at enforce');
  t.equal(late.machine.stage(), 'enforce');
  t.equal(late.machine.origin(), 'peers');
  await late.machine.begin('observe', 'peers', 'later still');
  t.equal(late.machine.stage(), 'enforce');
  const moved = machineAt('observe', { starting: true, start: { stage: 'observe', origin: 'default' } });
  await moved.machine.begin('observe', 'default', 'nobody answers');
  moved.steps.set('accept', stepTo('accept', 'safe'));
  await moved.machine.request(wish('accept'));
  await moved.machine.begin('enforce', 'peers', 'three at enforce');
  t.equal(moved.machine.stage(), 'accept', 'whoever was moved by somebody stays where they were put');
});

t.test('a start that force ends says whom that cuts', async (t) => {
  const { machine, steps } = machineAt('observe', { starting: true });
  steps.set('accept', stepTo('accept', 'unsafe', against('a')));
  t.match(await machine.request(wish('accept', { force: true })), { ok: true, step: { against: [{ name: 'a' }] } });
});

t.test('a step is judged by what fences say at that moment; a forced one does not wait for them', async (t) => {
  let refreshed = 0;
  const made = machineAt('label', {
    refresh: async () => {
      refreshed++;
      made.steps.set('enforce', stepTo('enforce', 'unsafe', against('b', 'its fence is at accept')));
    },
  });
  const [refused, meanwhile] = await Promise.all([
    made.machine.request(wish('enforce')),
    made.machine.request(wish('accept')),
  ]);
  t.match(refused, { ok: false, step: { readiness: 'unsafe' } }, 'b went down since it was last asked');
  t.match(meanwhile, { ok: false, why: /under way/ });
  t.match([made.machine.stage(), refreshed], ['label', 1]);
  t.match(await made.machine.request(wish('observe')), { ok: false }, 'what is refused anyway asks nobody');
  t.equal(refreshed, 1);
  t.match(await made.machine.request(wish('enforce', { force: true })), { ok: true });
  t.equal(refreshed, 1);
});
