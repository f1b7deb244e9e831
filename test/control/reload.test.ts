/** A new configuration: whole or not at all. */
import t from 'tap';
import { parseConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/types.ts';
import { createReload, fixedChanges, type ReloadResult, TRY_AGAIN_MS, WAIT_SAID_MS } from '../../src/control/reload.ts';
import { createFakeClock, settle } from './fake-clock.ts';

const FENCE = {
  name: 'traces',
  cluster: 'blue',
  stage: 'accept',
  listen: '127.0.0.1:7946',
  app: { address: '127.0.0.1:7947', sends: 'own', takes: 'own' },
  wire: 'own',
};
type Change = Record<string, unknown>;
const textOf = (change: Change = {}, more: Change = {}) =>
  JSON.stringify({ fences: [{ ...FENCE, ...change }], ...more });
const parse = (text: string): Config => parseConfig(text, 'f.yaml', {});

t.test('what may change, and what only a restart can, by name', async (t) => {
  const app = FENCE.app;
  const cases: readonly [Change, Change, readonly string[]][] = [
    [{}, {}, []],
    [{ stage: 'enforce' }, {}, []],
    [{ stage: 'auto' }, {}, []],
    [{ wire: 'none', app: { ...app, sends: 'none', takes: 'any' } }, {}, []],
    [{ admit: { cidrs: ['10.0.0.0/8'], dns: ['a.b'], names: ['x-*'], grace: '5s' } }, {}, []],
    [{ shield: false, quarantine: true, tls: { unterminated: 'pass' } }, {}, []],
    [{}, { log: { level: 'debug' } }, []],
    [{}, { log: { format: 'text' } }, ['log.format']],
    [{}, { stateFile: '/x' }, ['stateFile']],
    [{}, { admin: { address: '127.0.0.1:1' } }, ['admin.address']],
    [{ cluster: 'green' }, {}, ['fences.traces.cluster']],
    [{ listen: '127.0.0.1:1' }, {}, ['fences.traces.listen']],
    [{ app: { ...app, address: '127.0.0.1:1' } }, {}, ['fences.traces.app.address']],
    [{ app: { ...app, transport: 'dskit' } }, {}, ['fences.traces.app.transport']],
    [{ rejectStreams: 'reset' }, {}, ['fences.traces.rejectStreams']],
    [{ encryption: { keyFiles: ['/k'] } }, {}, ['fences.traces.encryption.keyFiles']],
    [{ memory: { window: '1m' } }, {}, ['fences.traces.memory.window']],
    [{ limits: { hold: '1s', settle: '1s' } }, {}, ['fences.traces.limits.hold', 'fences.traces.limits.settle']],
    [{ name: 'logs' }, {}, ['fences.traces', 'fences.logs']],
  ];
  for (const [change, more, fixed] of cases) {
    t.strictSame(
      fixedChanges(parse(textOf()).file, parse(textOf(change, more)).file),
      fixed,
      JSON.stringify([change, more]),
    );
  }
});

t.test('the order of fences says nothing', async (t) => {
  const other = { ...FENCE, name: 'logs', listen: '127.0.0.2:7946', app: { ...FENCE.app, address: '127.0.0.2:7947' } };
  const both = (...fences: object[]) => parse(JSON.stringify({ fences })).file;
  t.strictSame(fixedChanges(both(FENCE, other), both(other, FENCE)), []);
});

function reloading(take: (next: Config, before: Config) => Promise<string | undefined> = async () => undefined) {
  const clock = createFakeClock();
  const results: ReloadResult[] = [];
  const taken: [string | undefined, string | undefined][] = [];
  const text = textOf();
  const reload = createReload({
    clock,
    running: parse(text),
    text,
    parse,
    async take(next, before) {
      const why = await take(next, before);
      if (why === undefined) taken.push([before.fences[0]?.stage, next.fences[0]?.stage]);
      return why;
    },
    onResult: (result) => results.push(result),
  });
  return { clock, reload, results, taken };
}

t.test('taken, or rejected with every reason while the old one stays', async (t) => {
  const { reload, results, taken, clock } = reloading();
  t.match(reload.last(), { successful: true, problem: undefined });
  await reload.take(textOf({ stage: 'label' }));
  t.strictSame(taken, [['accept', 'label']]);
  const goodMs = reload.last().successMs;
  await clock.pass(1_000);
  await reload.take('{');
  t.match(reload.last(), { successful: false, problem: /rejected: f\.yaml:1: YAML/, successMs: goodMs });
  await reload.take(textOf({ stage: 'strict', shield: 7 }));
  t.match(results.at(-1), { outcome: 'rejected', why: [/stage: must be one of/, /shield: must be/] });
  await reload.take(textOf({ stage: 'enforce', cluster: 'green', limits: { hold: '1s' } }));
  t.match(results.at(-1), {
    outcome: 'rejected',
    why: ['only a restart can change fences.traces.cluster, fences.traces.limits.hold'],
  });
  t.equal(taken.length, 1, 'not a part of them was taken');
  await reload.take(textOf({ stage: 'enforce' }));
  t.strictSame(taken.at(-1), ['label', 'enforce'], 'held against what is in force, not against what was rejected');
  t.match(reload.last(), { successful: true, successMs: clock.now() });
});

t.test('what a stage stands against is tried again until it is taken', async (t) => {
  let why: string | undefined = 'label is not safe';
  const { reload, results, taken, clock } = reloading(async () => why);
  await reload.take(textOf({ stage: 'label' }));
  t.match(reload.last(), { successful: false, problem: 'the new configuration waits: label is not safe' });
  await clock.pass(10 * TRY_AGAIN_MS);
  t.equal(results.length, 1, 'said once');
  why = undefined;
  await clock.pass(TRY_AGAIN_MS);
  t.match(results.at(-1), { outcome: 'in_force' });
  t.strictSame(taken, [['accept', 'label']]);
  await clock.pass(10 * TRY_AGAIN_MS);
  t.equal(taken.length, 1, 'and then no more');
});

t.test('another file ends the wait of the one before; going back to what is in force does too', async (t) => {
  const { reload, taken, clock } = reloading(async ({ fences: [fence] }) =>
    fence?.stage === 'label' ? 'not safe' : undefined,
  );
  await reload.take(textOf({ stage: 'label' }));
  await reload.take(textOf());
  t.match(reload.last(), { successful: true });
  await clock.pass(10 * TRY_AGAIN_MS);
  t.strictSame(taken, [['accept', 'accept']]);
  await reload.take(textOf({ stage: 'label' }));
  reload.unreadable('no such file');
  t.match(reload.last(), { successful: false, problem: /no such file/ });
  t.notOk(reload.has(textOf({ stage: 'label' })));
  await clock.pass(10 * TRY_AGAIN_MS);
  t.strictSame(
    taken.slice(1),
    [['accept', 'accept']],
    'what cannot be read any more is not tried again, and taken back',
  );
});

t.test('texts that come while one is being taken: the last one counts, one after the other', async (t) => {
  let running = 0;
  let most = 0;
  let open: () => void = () => {};
  const { reload, taken } = reloading(async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => {
      open = resolve;
    });
    running--;
    return undefined;
  });
  const first = reload.take(textOf({ stage: 'label' }));
  void reload.take(textOf({ stage: 'observe' }));
  const last = reload.take(textOf({ stage: 'enforce' }));
  await settle();
  open();
  await settle();
  open();
  await Promise.all([first, last]);
  t.strictSame(taken, [
    ['accept', 'label'],
    ['label', 'enforce'],
  ]);
  t.equal(most, 1);
  t.ok(reload.has(textOf({ stage: 'enforce' })));
});

t.test('stopped, it takes nothing', async (t) => {
  const { reload, taken, clock } = reloading(async () => 'never');
  await reload.take(textOf({ stage: 'label' }));
  reload.stop();
  await reload.take(textOf({ stage: 'observe' }));
  await clock.pass(10 * TRY_AGAIN_MS);
  t.strictSame([taken, clock.planned()], [[], 0]);
});

t.test('what waited and will not be taken any more leaves nothing behind', async (t) => {
  for (const end of ['rejected', 'unreadable'] as const) {
    const { reload, taken, results, clock } = reloading(async ({ fences: [fence] }) =>
      fence?.stage === 'label' ? 'not safe' : undefined,
    );
    await reload.take(textOf({ stage: 'label' }));
    if (end === 'rejected') await reload.take('{');
    else reload.unreadable('it is gone');
    await settle();
    t.strictSame(taken, [['accept', 'accept']], `${end}: who was admitted before is so again`);
    t.match(results.at(-1), { outcome: 'rejected' });
    await reload.take('[');
    await clock.pass(10 * TRY_AGAIN_MS);
    t.equal(taken.length, 1, 'once');
  }
});

t.test('figures that move in what is waited for are no news, a new file is', async (t) => {
  let seconds = 0;
  const { reload, results, clock } = reloading(async () => `none for ${seconds++} s`);
  await reload.take(textOf({ stage: 'label' }));
  await clock.pass(WAIT_SAID_MS - 1);
  t.equal(results.length, 1);
  t.not(reload.last().problem, 'the new configuration waits: none for 0 s', 'the status has the latest');
  await clock.pass(TRY_AGAIN_MS);
  t.equal(results.length, 2);
  await reload.take(textOf({ stage: 'enforce' }));
  t.equal(results.length, 3);
  reload.stop();
});
