/** A fence takes another configuration: who is admitted first, then all the rest with its stage, or nothing of it. */
import t from 'tap';
import { askIntervalMs } from '../../src/cli/asks.ts';
import { SYSTEM_CLOCK } from '../../src/cli/clock.ts';
import { composeFence } from '../../src/cli/compose.ts';
import { createEngines } from '../../src/cli/engines.ts';
import type { RulesChange } from '../../src/cli/fence-rules.ts';
import { createConfigKeeper, createReconfigure } from '../../src/cli/reconfigure.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { FenceConfig } from '../../src/config/types.ts';
import { createPump } from '../../src/datapath/inspection-pump.ts';
import { judge } from '../../src/datapath/judge.ts';
import { NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import type { Stage } from '../../src/policy/stage.ts';
import type { Readiness } from '../../src/ring/readiness-types.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { machineAt, NONE, stepTo } from '../control/stages.ts';
import { alive, foreignFrame, frame } from '../ring/frames.ts';

function configOf(change: object = {}): FenceConfig {
  const fence = { name: 'traces', cluster: 'blue', transparent: {}, ...change };
  const [only] = parseConfig(JSON.stringify({ fences: [fence] }), 'f.yaml', {}).fences;
  if (only === undefined) throw new Error('one fence was written');
  return only;
}

/** A fence at `stage`, for which every step is `readiness`. */
function fenceAt(stage: Stage, first: FenceConfig, readiness: Readiness = 'safe', starting = false) {
  const keeper = createConfigKeeper(first);
  const changes: RulesChange[] = [];
  const admitted: unknown[] = [];
  const { machine } = machineAt(stage, {
    starting,
    step: (to) => stepTo(to, readiness),
    bounds: keeper.incoming,
    apply: async (to) => void changes.push({ stage: to, policy: keeper.incoming().dialects }),
  });
  const reconfigure = createReconfigure({
    keeper,
    machine,
    admission: {
      rules: () => NO_ADMISSION_RULES,
      ask: async () => {},
      look: () => {},
      listed: () => [],
      leaves: () => false,
      answered: () => true,
      names: () => [],
      change: (config) => admitted.push(config.cidrs.length),
      start: () => {},
      stop: () => {},
    },
    setRules: async (change) => void changes.push(change),
  });
  return { keeper, machine, reconfigure, changes, admitted };
}

t.test('a stage that changes takes its dialects along, in one change', async (t) => {
  const before = configOf({ stage: 'observe' });
  const next = configOf({ stage: 'accept', app: { sends: 'own', takes: 'own' } });
  const { reconfigure, changes, machine, keeper } = fenceAt('observe', before);
  t.equal(await reconfigure.refusal(next, before), undefined);
  t.equal(await reconfigure.take(next, before), undefined);
  t.match(changes[0], { stage: 'accept', policy: { sends: 'own', takes: 'own', wire: 'none' } });
  t.equal(machine.stage(), 'accept');
  t.equal(keeper.config(), next);
});

t.test('refused, nothing of it is in force but who is admitted', async (t) => {
  const before = configOf({ stage: 'accept' });
  const next = configOf({ stage: 'label', shield: false, admit: { cidrs: ['10.0.0.0/8'] } });
  const { reconfigure, changes, admitted, keeper, machine } = fenceAt('accept', before, 'unknown');
  await reconfigure.identity(next);
  await reconfigure.identity(next);
  t.strictSame(admitted, [1], 'once');
  t.match(await reconfigure.refusal(next, before), /^label is not known to be safe/);
  t.match(await reconfigure.take(next, before), /^label is not known to be safe/);
  t.match([keeper.config().shield, keeper.config().cidrs.length, machine.stage()], [true, 1, 'accept']);
  t.strictSame(changes, [{ admission: NO_ADMISSION_RULES }]);
});

t.test('a stage that the file does not change stays where others put it', async (t) => {
  const before = configOf({ stage: 'accept' });
  const { reconfigure, machine, changes } = fenceAt('label', before, 'unsafe');
  t.equal(await reconfigure.take(configOf({ stage: 'accept', shield: false }), before), undefined);
  t.equal(machine.stage(), 'label');
  t.match(changes, [{ policy: { shield: false } }]);
  t.equal(await reconfigure.take(configOf({ stage: 'auto' }), before), undefined);
  t.match([machine.stage(), machine.auto()], ['label', true]);
});

t.test('dialects in which the stage cannot be mean the nearest one, through the guard', async (t) => {
  const before = configOf();
  const next = configOf({ app: { sends: 'own', takes: 'own' } });
  const safe = fenceAt('observe', before);
  t.equal(await safe.reconfigure.take(next, before), undefined);
  t.equal(safe.machine.stage(), 'accept', 'observe translates nothing');
  const unsafe = fenceAt('observe', before, 'unsafe');
  t.match(await unsafe.reconfigure.refusal(next, before), /^accept is not safe/);
  t.equal(unsafe.machine.stage(), 'observe');
});

t.test('while the stage is not known yet, a named one ends that, and nothing else does', async (t) => {
  const before = configOf();
  const { reconfigure, machine } = fenceAt('observe', before, 'unknown', true);
  t.equal(await reconfigure.take(configOf({ shield: false }), before), undefined);
  t.ok(machine.starting());
  t.equal(await reconfigure.take(configOf({ stage: 'enforce' }), before), undefined);
  t.match([machine.starting(), machine.stage(), machine.origin()], [false, 'enforce', 'config']);
});

t.test('members are asked less often while no step is ahead', async (t) => {
  const open = { dialects: NONE, ceiling: undefined };
  const low = { dialects: NONE, ceiling: { stage: 'accept', why: 'egress' } } as const;
  t.strictSame(
    [askIntervalMs(10, 'label', open), askIntervalMs(10, 'enforce', open), askIntervalMs(10, 'accept', low)],
    [10, 60, 60],
  );
});

t.test('a stage is judged by the dialects that come with it', async (t) => {
  const listen = { transparent: undefined, listen: '127.0.0.1:7946', wire: 'own' };
  const app = (takes: string) => ({ ...listen, app: { address: '127.0.0.1:7947', sends: 'own', takes } });
  const before = configOf({ ...app('any'), stage: 'accept' });
  const sink = { rejection() {}, fault() {}, say() {}, findings() {} };
  const fence = await composeFence(before, {
    ...{ sink, pump: createPump(), clock: SYSTEM_CLOCK, engines: createEngines(), stateFile: undefined, adminPort: 0 },
  });
  t.teardown(() => fence.stop());
  const source = { ...frame(), atMs: fence.context.now() };
  fence.inside.ring?.message(source, alive('m-1', '10.0.0.3'));
  fence.context.peers.unlabelled(parseAddress('10.0.0.3') as Uint8Array, fence.context.now());
  const down = (takes: string) => fence.reconfigure.refusal(configOf({ ...app(takes), stage: 'observe' }), before);
  t.equal(await down('any'), undefined, 'the app takes what is not labelled');
  t.match(await down('own'), /^observe is not safe: m-1 10\.0\.0\.3: sent unlabelled packets/);
});

t.test('a peer that is rejected for a foreigner at its address is found to share it at once', async (t) => {
  const sink = { rejection() {}, fault() {}, say() {}, findings() {} };
  const fence = await composeFence(configOf({ stage: 'accept', admit: { cidrs: ['10.0.0.0/8'] } }), {
    ...{ sink, pump: createPump(), clock: SYSTEM_CLOCK, engines: createEngines(), stateFile: undefined, adminPort: 0 },
  });
  t.teardown(() => fence.stop());
  fence.adoption.start();
  const { context } = fence;
  const peer = { address: '10.0.0.3', port: 7946 };
  const [foreigner, atMs] = [{ ...peer, port: 7947 }, context.now()];
  fence.inside.ring?.message(frame({ atMs }), alive('ours', peer.address));
  fence.inside.ring?.message(
    foreignFrame('green', { atMs, peer: foreigner }),
    alive('theirs', peer.address, { Port: 7947 }),
  );
  context.peers.learn(parseAddress(peer.address) as Uint8Array, 'foreign', context.now());
  const reasonOf = () =>
    judge(context, {
      ...{ direction: 'inbound', transport: 'native', kind: 'packet', state: 'none', peer },
      ...{ label: new Uint8Array(0), bytes: 20, handshake: false },
    }).reason;
  t.strictSame([reasonOf(), reasonOf()], ['peer_foreign', undefined]);
});
