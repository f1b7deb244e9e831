/** The merge alarm, case by case. */
import t from 'tap';
import { FOREIGN_TUPLE_MS } from '../../src/ring/foreign.ts';
import { OWN_TUPLE_MS, WARM_UP_MS } from '../../src/ring/merge.ts';
import { createRing, type RingOptions } from '../../src/ring/ring.ts';
import { alive, appFrame, foreignFrame, frame, row, START_MS } from './frames.ts';

/** After the warm-up. */
const LATER_MS = START_MS + 5 * WARM_UP_MS;
const MINUTE_MS = 60_000;
const HEADER = { nodes: 1, userStateBytes: 0, join: false };

function newRing(change: Partial<RingOptions> = {}) {
  const none = { cidrs: [], names: [] };
  return createRing({ startedMs: START_MS, identity: none, graceMs: 60_000, proven: () => false, ...change });
}

const at = (atMs: number) => ({ atMs });

t.test('foreign first, then in our own gossip: an alarm that says who brought it', async (t) => {
  const ring = newRing();
  t.notOk(ring.canTellMerges());
  ring.node(
    foreignFrame('blue', { ...at(LATER_MS), peer: { address: '10.1.0.1', port: 40_000 } }),
    row('b-1', 'alive', '10.1.0.9'),
  );
  t.ok(ring.canTellMerges());
  t.strictSame(ring.alarms(LATER_MS), []);
  const peer = { address: '10.0.0.2', port: 7946 };
  ring.message(frame({ ...at(LATER_MS + 5), peer }), alive('b-1', '10.1.0.9'));
  ring.message(frame({ ...at(LATER_MS + 9), peer }), alive('b-1', '10.1.0.9'));
  t.match(ring.alarms(LATER_MS + 9), [
    {
      ...{ name: 'b-1', address: '10.1.0.9', port: 7946, atMs: LATER_MS + 5, lastOwnMs: LATER_MS + 9 },
      broughtBy: { message: 'alive', by: 'peer', peer, direction: 'inbound', transport: 'native', kind: 'packet' },
      foreign: {
        label: Buffer.from('blue'),
        firstMs: LATER_MS,
        broughtBy: { message: 'pushPull', rejected: true, peer: { address: '10.1.0.1' } },
      },
    },
  ]);
  t.equal(ring.alarmsRaised(), 1, 'once');
  t.match(ring.foreignTuples(LATER_MS + 9), [{ name: 'b-1', own: false, lastMs: LATER_MS + 9 }]);
  t.match(ring.members(LATER_MS + 9), [{ name: 'b-1', foreignLabel: Buffer.from('blue') }]);
});

t.test('any difference of the tuple is another member', async (t) => {
  const ring = newRing();
  ring.message(foreignFrame('blue', at(LATER_MS)), alive('b-1', '10.1.0.9'));
  ring.message(frame(at(LATER_MS)), alive('b-2', '10.1.0.9'));
  ring.message(frame(at(LATER_MS)), alive('b-1', '10.1.0.8'));
  ring.message(frame(at(LATER_MS)), alive('b-1', '10.1.0.9', { Port: 7947 }));
  ring.node(frame(at(LATER_MS)), row('b-1', 'dead', '10.1.0.9'));
  t.strictSame(ring.alarms(LATER_MS), []);
});

t.test('what was ours first is ours', async (t) => {
  const ring = newRing();
  ring.message(frame(at(LATER_MS)), alive('a-1'));
  ring.message(foreignFrame('blue', at(LATER_MS + 1)), alive('a-1'));
  ring.message(frame(at(LATER_MS + 2)), alive('a-1', '10.0.0.1', { Incarnation: 2 }));
  t.strictSame(ring.alarms(LATER_MS + 2), []);
  t.match(ring.foreignTuples(LATER_MS + 2), [{ name: 'a-1', own: true }]);
  t.match(ring.members(LATER_MS + 2), [{ foreignLabel: undefined }]);
});

t.test('during the warm-up the order is unknown: own gossip counts as first', async (t) => {
  const ring = newRing();
  ring.message(foreignFrame(), alive('a-1'));
  ring.message(foreignFrame(), alive('b-1', '10.1.0.1'));
  ring.pushPull(frame({ kind: 'stream' }), HEADER);
  ring.node(frame({ ...at(START_MS + WARM_UP_MS - 1), kind: 'stream' }), row('a-1'));
  t.strictSame(ring.alarms(START_MS + WARM_UP_MS - 1), []);
  t.ok(ring.warmingUp(START_MS + WARM_UP_MS - 1));
  t.notOk(ring.warmingUp(START_MS + WARM_UP_MS));
  ring.message(frame(at(START_MS + WARM_UP_MS)), alive('b-1', '10.1.0.1'));
  t.match(ring.alarms(START_MS + WARM_UP_MS), [{ name: 'b-1' }]);
});

t.test('the warm-up waits for a whole table, not for ever', async (t) => {
  const ring = newRing();
  t.ok(ring.warmingUp(START_MS + 4 * WARM_UP_MS), 'no table yet');
  ring.pushPull(foreignFrame('blue', at(START_MS + 4 * WARM_UP_MS)), HEADER);
  t.ok(ring.warmingUp(START_MS + 4 * WARM_UP_MS), 'a table of strangers is not ours');
  t.notOk(ring.warmingUp(START_MS + 5 * WARM_UP_MS), 'long enough');
  ring.pushPull(frame(at(START_MS + 2 * WARM_UP_MS)), HEADER);
  t.ok(ring.warmingUp(START_MS + 2 * WARM_UP_MS + 9_999), 'its rows follow');
  t.notOk(ring.warmingUp(START_MS + 2 * WARM_UP_MS + 10_000));
  t.notOk(newRing({ warmUpMs: 0 }).warmingUp(START_MS));
});

t.test('an address that proved own since then is own', async (t) => {
  const proven = new Set<string>();
  const ring = newRing({ proven: (address) => proven.has(address) });
  const own = (atMs: number, address: string) =>
    ring.frame(
      frame({ ...at(atMs), peer: { address, port: 7946 }, labelState: 'own', label: Buffer.from('green') }),
      undefined,
    );
  own(LATER_MS, '10.0.0.1');
  proven.add('10.0.0.1');
  ring.message(foreignFrame('blue', at(LATER_MS + 1)), alive('recycled'));
  ring.message(foreignFrame('blue', at(LATER_MS + 1)), alive('relabelled', '10.0.0.2'));
  own(LATER_MS + 2, '10.0.0.2');
  proven.add('10.0.0.2');
  t.match(ring.foreignTuples(LATER_MS + 2), [
    { name: 'recycled', own: false },
    { name: 'relabelled', own: true },
  ]);
  ring.message(frame(at(LATER_MS + 3)), alive('recycled'));
  ring.message(frame(at(LATER_MS + 3)), alive('relabelled', '10.0.0.2'));
  t.match(
    ring.alarms(LATER_MS + 3),
    [{ name: 'recycled' }],
    'an address that was ours before it was recycled proves nothing',
  );
  t.equal(ring.alarmsRaised(), 1);
});

t.test('what our own app says, and in what frames', async (t) => {
  const ring = newRing();
  const answer = foreignFrame('blue', { ...at(LATER_MS), rejected: false, answer: true });
  ring.node(answer, row('me'));
  ring.message(appFrame({ ...at(LATER_MS), labelState: 'foreign', label: Buffer.from('blue') }), alive('me'));
  t.strictSame(ring.foreignTuples(LATER_MS), [], 'our app under a foreign label is no stranger');
  ring.message(
    foreignFrame('blue', { ...at(LATER_MS), direction: 'outbound', answer: true }),
    alive('b-1', '10.1.0.1'),
  );
  ring.message(frame({ ...at(LATER_MS), rejected: true }), alive('b-1', '10.1.0.1'));
  ring.message(frame({ ...at(LATER_MS), labelState: 'opaque' }), alive('b-1', '10.1.0.1'));
  t.strictSame(ring.alarms(LATER_MS), [], 'rejected frames are not our gossip');
  ring.message(appFrame(at(LATER_MS)), alive('b-1', '10.1.0.1'));
  t.match(ring.alarms(LATER_MS), [{ name: 'b-1', broughtBy: { by: 'app', direction: 'outbound' } }]);
});

t.test('an alarm stands while either side names the tuple, and is raised anew after that', async (t) => {
  const ring = newRing();
  const merge = (atMs: number) => {
    ring.message(foreignFrame('blue', at(atMs)), alive('b-1', '10.1.0.1'));
    ring.message(frame(at(atMs)), alive('b-1', '10.1.0.1'));
  };
  merge(LATER_MS);
  t.equal(ring.alarms(LATER_MS + OWN_TUPLE_MS + 1).length, 1, 'the foreign side is remembered longer');
  merge(LATER_MS + OWN_TUPLE_MS + 2);
  t.match(ring.alarms(LATER_MS + OWN_TUPLE_MS + 2), [{ atMs: LATER_MS, lastOwnMs: LATER_MS + OWN_TUPLE_MS + 2 }]);
  t.equal(ring.alarmsRaised(), 1, 'still the same');
  const forgotten = LATER_MS + OWN_TUPLE_MS + 2 + FOREIGN_TUPLE_MS + 1;
  t.strictSame(ring.alarms(forgotten), []);
  merge(forgotten);
  t.match(ring.alarms(forgotten), [{ atMs: forgotten }]);
  t.equal(ring.alarmsRaised(), 2);
});

t.test('alarms are listed newest first, and bounded', async (t) => {
  const ring = newRing({ limits: { alarms: 3 } });
  for (let i = 0; i < 5; i++) {
    ring.message(foreignFrame('blue', at(LATER_MS)), alive(`b-${i}`, '10.1.0.1'));
    ring.message(frame(at(LATER_MS + i * MINUTE_MS)), alive(`b-${i}`, '10.1.0.1'));
  }
  t.strictSame(
    ring.alarms(LATER_MS + 5 * MINUTE_MS).map(({ name }) => name),
    ['b-4', 'b-3', 'b-2'],
  );
  t.equal(ring.alarmsRaised(), 5);
});

t.test('floods of own gossip displace no own evidence of members that spoke to us', async (t) => {
  const ring = newRing({ limits: { members: 20 } });
  const peer = { address: '10.0.0.1', port: 7946 };
  ring.frame(frame({ ...at(LATER_MS), kind: 'stream', peer }), undefined);
  ring.message(frame({ ...at(LATER_MS), kind: 'stream', peer }), alive('a-1'));
  for (let i = 0; i < 1_000; i++) ring.message(frame(at(LATER_MS)), alive(`flood-${i}`, '192.0.2.1'));
  ring.message(frame(at(LATER_MS)), alive('x'.repeat(513)));
  ring.message(foreignFrame('blue', at(LATER_MS)), alive('a-1'));
  ring.message(frame(at(LATER_MS)), alive('a-1'));
  t.strictSame(ring.alarms(LATER_MS), []);
  t.match(ring.evictions(), { members: 982, own_tuples: 961, foreign_tuples: 0 });
});
