/** The ring as a whole: what its views show. */
import t from 'tap';
import { parseCidr } from '../../src/policy/admission.ts';
import { KV_SILENT_MS } from '../../src/ring/instances.ts';
import { SILENT_MS } from '../../src/ring/members.ts';
import { createRing, type RingOptions } from '../../src/ring/ring.ts';
import { RING_CODEC } from '../../src/wire/ring-desc.ts';
import { alive, appFrame, dead, foreignFrame, frame, ping, row, START_MS, suspect } from './frames.ts';
import { ringDesc } from './ring-desc-fixture.ts';

const GRACE_MS = 60_000;
const LATER_MS = START_MS + 1_000_000;
const cidrs = (...texts: string[]) => texts.flatMap((text) => parseCidr(text) ?? []);

function newRing(change: Partial<RingOptions> = {}) {
  const none = { cidrs: [], names: [] };
  return createRing({
    startedMs: START_MS,
    warmUpMs: 0,
    identity: none,
    graceMs: GRACE_MS,
    proven: () => false,
    ...change,
  });
}

const own = { labelState: 'own', label: Buffer.from('green') } as const;

t.test('what a member showed itself', async (t) => {
  const ring = newRing();
  const view = () => ring.members(LATER_MS)[0];
  const peer = { address: '10.0.0.1', port: 7946 };
  ring.message(frame({ peer: { address: '10.0.0.2', port: 7946 } }), alive('a'));
  t.match(view(), {
    labelState: undefined,
    lastHeardMs: undefined,
    sealForm: undefined,
    fenced: undefined,
    app: false,
  });
  ring.frame(frame({ peer, atMs: START_MS + 1 }), undefined);
  t.match(view(), { labelState: 'none', lastHeardMs: START_MS + 1 });
  ring.frame(foreignFrame('blue', { peer, atMs: START_MS + 2 }), undefined);
  t.match(view(), { labelState: 'foreign', lastHeardMs: START_MS + 1 }, 'what is rejected is no word of the member');
  ring.frame(frame({ peer, ...own, atMs: START_MS + 3 }), 'label');
  t.match(view(), { labelState: 'own', sealForm: 'label', fenced: undefined, lastHeardMs: START_MS + 3 });
  ring.frame(frame({ peer, ...own, atMs: START_MS + 4 }), 'empty');
  t.match(view(), { sealForm: 'empty', fenced: true }, 'labelled, but sealed without: a fence stands there');
  ring.frame(frame({ peer, atMs: START_MS + 5 }), 'empty');
  t.match(view(), { labelState: 'none', fenced: undefined });
  ring.frame(
    frame({ ...own, peer, atMs: START_MS + 6, direction: 'outbound', answer: true, kind: 'stream' }),
    undefined,
  );
  t.match(view(), { labelState: 'none', lastHeardMs: START_MS + 6 }, 'an answer shows no label');
  ring.frame(appFrame({ ...own, peer, atMs: START_MS + 7 }), undefined);
  t.match(view(), { labelState: 'none', lastHeardMs: START_MS + 6 }, 'our own frames teach nothing of the peer');
  t.strictSame(ring.warnings(LATER_MS), []);
  ring.message(frame({ peer, atMs: START_MS + SILENT_MS }), alive('a', '10.0.0.1', { Incarnation: 2 }));
  ring.members(START_MS + SILENT_MS + 7);
  t.match(ring.members(START_MS + SILENT_MS + 7)[0], { labelState: undefined }, 'forgotten in the end');
});

t.test('members that share an address are told apart by ports, or not at all', async (t) => {
  const ring = newRing();
  ring.message(frame(), alive('a', '10.0.0.1', { Port: 7001 }));
  ring.message(frame(), alive('b', '10.0.0.1', { Port: 7002 }));
  ring.frame(frame({ peer: { address: '10.0.0.1', port: 7001 } }), undefined);
  ring.frame(frame({ peer: { address: '10.0.0.1', port: 40_000 }, kind: 'stream', ...own }), undefined);
  t.match(ring.members(START_MS), [
    { name: 'a', labelState: 'none' },
    { name: 'b', labelState: undefined },
  ]);
});

t.test('our app is known by its own probes, and is fenced', async (t) => {
  const ring = newRing();
  ring.message(frame(), alive('me'));
  ring.message(frame(), ping('me', 'liar'));
  t.match(ring.members(START_MS), [{ app: false, fenced: undefined }]);
  t.equal(ring.app(), undefined);
  ring.message(appFrame(), ping('a', 'me'));
  t.match(ring.members(START_MS), [{ app: true, fenced: true }]);
  t.equal(ring.app(), 'me');
  ring.message(frame(), suspect('me'));
  t.match(ring.members(START_MS), [{ state: 'alive' }]);
  ring.message(appFrame(), dead('me', 1, 'me'));
  t.match(ring.members(START_MS), [{ state: 'left' }]);
});

t.test('when a member table was last read whole: not one of who just joins, nor of strangers', async (t) => {
  const ring = newRing();
  const header = { nodes: 1, userStateBytes: 0, join: false };
  const stream = { kind: 'stream' } as const;
  ring.tableRead(frame(stream), { ...header, join: true });
  ring.tableRead(foreignFrame(), header);
  t.equal(ring.tableMs(), 0);
  ring.tableRead(frame({ ...stream, answer: true }), { ...header, join: true });
  t.equal(ring.tableMs(), START_MS);
  ring.tableRead(frame({ ...stream, atMs: START_MS + 5 }), header);
  t.equal(ring.tableMs(), START_MS + 5);
});

t.test('our own gossip alone makes members', async (t) => {
  const ring = newRing();
  ring.message(frame({ rejected: true }), alive('a'));
  ring.message(foreignFrame(), alive('b'));
  ring.node(frame({ rejected: true }), row('c'));
  ring.node(foreignFrame('blue', { rejected: false }), row('d', 'dead'));
  ring.message(foreignFrame(), suspect('b'));
  ring.kv(frame({ rejected: true }), {
    key: 'k',
    value: new Uint8Array(0),
    codec: '',
    deleted: false,
    updateTimeMs: 0,
  });
  t.strictSame(ring.members(START_MS), []);
  t.strictSame(ring.instances(START_MS), { keys: [], instances: [] });
});

t.test('members outside of the identity rules, after the grace', async (t) => {
  const ring = newRing({ identity: { cidrs: cidrs('10.0.0.0/24'), names: ['a-*'] } });
  t.ok(ring.canTellMerges());
  ring.message(frame(), alive('a-1'));
  ring.message(frame({ atMs: START_MS + 5 }), alive('b-1', '10.0.0.2'));
  ring.message(frame(), alive('a-2', '10.9.0.1'));
  ring.message(frame(), alive('a-3', '10.9.0.2'));
  ring.message(frame(), dead('a-3'));
  t.strictSame(ring.warnings(START_MS + GRACE_MS), [], 'not yet');
  t.match(ring.warnings(START_MS + GRACE_MS + 6), [
    { kind: 'member', outside: 'address', name: 'a-2', address: '10.9.0.1', sinceMs: START_MS, key: undefined },
    { kind: 'member', outside: 'name', name: 'b-1', address: '10.0.0.2', sinceMs: START_MS + 5 },
  ]);
  const few = newRing({ identity: { cidrs: cidrs('10.0.0.0/24'), names: [] }, limits: { warnings: 2 } });
  for (let i = 0; i < 9; i++) few.message(frame({ atMs: START_MS + i }), alive(`x-${i}`, '10.9.0.1'));
  t.match(few.warnings(LATER_MS), [{ name: 'x-0' }, { name: 'x-1' }], 'bounded, the longest first');
});

const pair = (instances: Parameters<typeof ringDesc>[0], key = 'collectors/ring') => ({
  ...{ key, value: ringDesc(instances), codec: RING_CODEC, deleted: false, updateTimeMs: 0 },
});

t.test("dskit's keys and instances", async (t) => {
  const ring = newRing();
  ring.kv(frame(), pair([{ id: 'ingester-0', address: '10.0.0.1:9095', zone: 'a', timestamp: START_MS / 1_000 }]));
  ring.kv(frame({ atMs: START_MS + 9 }), { ...pair([]), value: Uint8Array.of(0xff), deleted: true });
  ring.kv(frame(), { key: 'ha', value: Uint8Array.of(1, 2), codec: 'replicaDesc', deleted: false, updateTimeMs: 0 });
  ring.kv(frame(), { key: 'x'.repeat(513), value: Uint8Array.of(1), codec: '', deleted: false, updateTimeMs: 0 });
  ring.kv(frame(), { key: 'c', value: Uint8Array.of(1), codec: 'x'.repeat(513), deleted: false, updateTimeMs: 0 });
  ring.kv(frame(), pair([{ id: 'y'.repeat(513), address: '10.0.0.1:9095', zone: '', timestamp: 0 }], 'ha2'));
  t.match(ring.instances(START_MS + 9), {
    keys: [
      {
        key: 'collectors/ring',
        bytes: 1,
        deleted: true,
        unreadable: 1,
        firstSeenMs: START_MS,
        lastSeenMs: START_MS + 9,
      },
      { key: 'ha', codec: 'replicaDesc', bytes: 2, unreadable: 0 },
      { key: 'ha2' },
    ],
    instances: [
      {
        id: 'ingester-0',
        key: 'collectors/ring',
        address: '10.0.0.1:9095',
        ip: '10.0.0.1',
        zone: 'a',
        state: 'ACTIVE',
      },
    ],
  });
  t.equal(ring.evictions().kv_keys, 3);
  ring.frame(frame({ atMs: START_MS + KV_SILENT_MS + 10 }), undefined);
  t.strictSame(ring.instances(START_MS + KV_SILENT_MS + 10), { keys: [], instances: [] });
});

t.test('a fresh instance at whose address no member is', async (t) => {
  const ring = newRing({ warmUpMs: 100 });
  const at = (atMs: number) => frame({ atMs });
  const heartbeat = (nowMs: number) => Math.floor(nowMs / 1_000);
  const instance = (id: string, address: string, timestamp = heartbeat(LATER_MS)) => ({
    id,
    address,
    zone: '',
    timestamp,
  });
  ring.kv(at(START_MS + 1), pair([instance('at-start', '10.0.0.7:9095')]));
  ring.message(at(LATER_MS), alive('a', '10.0.0.1'));
  const fresh = [
    instance('with-member', '10.0.0.1:9095'),
    instance('stranger', '10.1.0.1:9095'),
    instance('v6', '[fd00::9]:9095'),
    instance('bare', 'fd00::8'),
    instance('by-name', 'ingester.example:9095'),
    instance('leftover', '10.1.0.2:9095', heartbeat(LATER_MS) - 3_600),
    { ...instance('left', '10.1.0.3:9095'), state: 4 },
  ];
  ring.kv(at(LATER_MS), pair(fresh));
  t.strictSame(ring.warnings(LATER_MS + GRACE_MS), []);
  const shown = (nowMs: number) => ring.warnings(nowMs).map(({ kind, name, key }) => [kind, name, key].join(' '));
  t.strictSame(shown(LATER_MS + GRACE_MS + 1), [
    'instance_without_member stranger collectors/ring',
    'instance_without_member v6 collectors/ring',
    'instance_without_member bare collectors/ring',
  ]);
  ring.message(at(LATER_MS + GRACE_MS + 2), alive('late', '10.1.0.1'));
  t.notOk(
    shown(LATER_MS + GRACE_MS + 2)
      .join()
      .includes('stranger'),
    'a member came',
  );
  ring.message(at(LATER_MS + GRACE_MS + 3), dead('late'));
  t.notOk(
    shown(LATER_MS + GRACE_MS + 3)
      .join()
      .includes('stranger'),
    'and went: it had one',
  );
  ring.kv(at(LATER_MS + GRACE_MS + 4), pair([instance('stranger', '10.1.0.77:9095')]));
  t.notOk(
    shown(LATER_MS + 2 * GRACE_MS)
      .join()
      .includes('stranger'),
    'moved: fresh again',
  );
  t.ok(
    shown(LATER_MS + 2 * GRACE_MS + 5)
      .join()
      .includes('stranger'),
  );
});

t.test('instances outside of the identity rules', async (t) => {
  const ring = newRing({ identity: { cidrs: cidrs('10.0.0.0/24'), names: ['a-*'] } });
  ring.kv(
    frame(),
    pair([
      { id: 'a-1', address: '10.1.0.1:9095', zone: '', timestamp: 0 },
      { id: 'b-1', address: '10.0.0.1:9095', zone: '', timestamp: 0 },
    ]),
  );
  t.match(ring.warnings(START_MS + GRACE_MS + 1), [
    { kind: 'instance', outside: 'address', name: 'a-1' },
    { kind: 'instance', outside: 'name', name: 'b-1' },
  ]);
});

t.test('with quarantine in effect, the members are those that our app still sees', async (t) => {
  let on = false;
  const ring = newRing({ identity: { cidrs: [], names: ['a-*'] }, quarantining: () => on });
  ring.message(frame(), alive('b-1', '10.1.0.1'));
  ring.message(frame(), alive('a-1'));
  on = true;
  ring.message(frame(), dead('a-1', 1, 'b-1'));
  ring.message(frame(), dead('b-1', 1, 'a-1'));
  ring.message(frame(), alive('b-1', '10.1.0.1', { Incarnation: 5 }));
  ring.node(frame({ peer: { address: '10.1.0.1', port: 7946 } }), row('a-1', 'dead'));
  ring.node(frame(), row('b-2', 'alive', '10.1.0.2'));
  t.match(
    ring.members(START_MS).map(({ name, state }) => [name, state]),
    [
      ['b-1', 'dead'],
      ['a-1', 'alive'],
    ],
  );
});

t.test('who is dead is remembered for the whole window of the memory', async (t) => {
  const options = { startedMs: START_MS, identity: { cidrs: [], names: [] }, graceMs: 0, proven: () => false };
  const deadAfter = (windowMs: number) => {
    const ring = createRing({ ...options, windowMs });
    ring.message(frame(), alive('a'));
    ring.message(frame(), dead('a'));
    return ring.members(START_MS + 30 * 60_000).map(({ state }) => state);
  };
  t.strictSame([deadAfter(10 * 60_000), deadAfter(60 * 60_000)], [[], ['dead']]);
});
