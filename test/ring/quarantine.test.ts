/** What a quarantine set knows, and the rules that the ring makes for it. */
import t from 'tap';
import { parseCidr } from '../../src/policy/admission.ts';
import { createQuarantine, NO_QUARANTINE_RULES } from '../../src/ring/quarantine.ts';
import { createRing, type RingOptions } from '../../src/ring/ring.ts';
import { addressBytes, alive, appFrame, dead, foreignFrame, frame, ping, START_MS } from './frames.ts';

const tuple = (name: string, address: string, port = 7946) => ({ name, address, port });
const cidrs = (...texts: string[]) => texts.flatMap((text) => parseCidr(text) ?? []);
const NONE = { cidrs: [], names: [] };

t.test('without rules nobody is a foreigner', async (t) => {
  const set = createQuarantine(NO_QUARANTINE_RULES);
  t.notOk(set.foreignAlive('a', addressBytes('10.0.0.1'), 7946));
  t.notOk(set.foreignName('a'));
  t.notOk(set.foreignName(''));
  t.notOk(set.foreignAddress('10.0.0.1'));
  t.notOk(set.foreignEndpoint('10.0.0.1', 7946));
});

t.test('foreign tuples', async (t) => {
  const set = createQuarantine({
    foreign: [tuple('b-1', '10.1.0.1'), tuple('web', '10.1.0.2'), tuple('b-3', '10.0.0.3')],
    own: [tuple('web', '10.0.0.2'), tuple('a-3', '10.0.0.3', 7000)],
    identity: NONE,
  });
  t.ok(set.foreignAlive('b-1', addressBytes('10.1.0.1'), 7946));
  t.ok(
    set.foreignAlive('b-1', Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 0, 1), 7946),
    'IPv4-mapped',
  );
  t.notOk(set.foreignAlive('b-1', addressBytes('10.1.0.1'), 7947));
  t.notOk(set.foreignAlive('b-1', addressBytes('10.1.0.9'), 7946));
  t.ok(set.foreignAlive('web', addressBytes('10.1.0.2'), 7946));
  t.notOk(set.foreignAlive('web', addressBytes('10.0.0.2'), 7946));
  t.ok(set.foreignName('b-1'));
  t.notOk(set.foreignName('web'), 'an own member has the name too');
  t.ok(set.foreignAddress('10.1.0.2'));
  t.notOk(set.foreignAddress('10.0.0.3'), 'an own member has the address too');
  t.ok(set.foreignEndpoint('10.0.0.3', 7946), 'but not the port');
  t.notOk(set.foreignEndpoint('10.0.0.3', 7000));
});

t.test('identity rules', async (t) => {
  const set = createQuarantine({
    foreign: [],
    own: [tuple('me', '192.0.2.1'), tuple('guest', '10.0.0.7')],
    identity: { cidrs: cidrs('10.0.0.0/8'), names: ['a-*'] },
  });
  t.ok(set.foreignAlive('a-1', addressBytes('192.0.2.7'), 7946));
  t.ok(set.foreignAlive('b-1', addressBytes('10.0.0.1'), 7946));
  t.notOk(set.foreignAlive('a-1', addressBytes('10.0.0.1'), 7946));
  t.notOk(set.foreignAlive('me', addressBytes('192.0.2.1'), 7946), 'proven own, whatever the rules say');
  t.ok(set.foreignName('b-1'));
  t.notOk(set.foreignName('guest'));
  t.notOk(set.foreignName(''), 'old members name nobody');
  t.ok(set.foreignAddress('192.0.2.7'));
  t.notOk(set.foreignAddress('192.0.2.1'));
});

const LATER_MS = START_MS + 1_000_000;

function newRing(change: Partial<RingOptions> = {}) {
  return createRing({ startedMs: START_MS, identity: NONE, graceMs: 0, proven: () => false, ...change });
}

t.test('rules are made of what is foreign first and not ours', async (t) => {
  const ring = newRing();
  const at = { atMs: LATER_MS };
  ring.message(frame(at), alive('a-1'));
  ring.message(frame(at), alive('web', '10.0.0.2'));
  ring.message(frame(at), alive('a-3', '10.0.0.3'));
  ring.message(foreignFrame('blue', at), alive('a-1'));
  ring.message(foreignFrame('blue', at), alive('web', '10.1.0.2'));
  ring.message(foreignFrame('blue', at), alive('b-3', '10.0.0.3'));
  t.strictSame(ring.quarantineRules(LATER_MS), {
    foreign: [tuple('web', '10.1.0.2'), tuple('b-3', '10.0.0.3')],
    own: [tuple('web', '10.0.0.2'), tuple('a-3', '10.0.0.3')],
    identity: NONE,
  });
  t.strictSame(structuredClone(ring.quarantineRules(LATER_MS)), ring.quarantineRules(LATER_MS), 'plain data');
});

t.test('the same object until something changed; no flood makes it anew with every message', async (t) => {
  const ring = newRing();
  const first = ring.quarantineRules(LATER_MS);
  t.equal(ring.quarantineRules(LATER_MS + 5_000), first);
  ring.message(foreignFrame('blue', { atMs: LATER_MS + 5_000 }), alive('b-1', '10.1.0.1'));
  t.equal(ring.quarantineRules(LATER_MS + 5_099), first, 'at most ten times a second');
  const second = ring.quarantineRules(LATER_MS + 5_100);
  t.not(second, first);
  ring.message(foreignFrame('blue', { atMs: LATER_MS + 6_000 }), alive('b-1', '10.1.0.1'));
  t.equal(ring.quarantineRules(LATER_MS + 9_000), second);
});

t.test('during the warm-up no tuple is stripped', async (t) => {
  const ring = newRing();
  ring.message(foreignFrame(), alive('b-1', '10.1.0.1'));
  t.strictSame(ring.quarantineRules(START_MS).foreign, []);
  t.strictSame(ring.quarantineRules(LATER_MS).foreign, [tuple('b-1', '10.1.0.1')]);
});

t.test('members outside of the identity rules, but not who proved own, nor our app', async (t) => {
  const identity = { cidrs: cidrs('10.0.0.0/8'), names: [] };
  const ring = newRing({ identity, proven: (address) => address === '192.0.2.9' });
  ring.message(frame(), alive('b-1', '192.0.2.1'));
  ring.message(frame(), alive('guest', '192.0.2.9'));
  ring.message(frame(), alive('me', '192.0.2.5'));
  ring.message(frame(), alive('a-1'));
  ring.message(appFrame(), ping('a-1', 'me'));
  t.strictSame(ring.quarantineRules(START_MS), {
    foreign: [tuple('b-1', '192.0.2.1')],
    own: [tuple('guest', '192.0.2.9'), tuple('me', '192.0.2.5')],
    identity,
  });
  ring.message(frame(), dead('b-1'));
  t.strictSame(ring.quarantineRules(START_MS + 2_000).foreign, [tuple('b-1', '192.0.2.1')], 'the dead stay buried');
});

t.test('a foreigner that proves own is stripped no longer', async (t) => {
  let proven = false;
  const ring = newRing({ proven: () => proven });
  ring.message(foreignFrame('blue', { atMs: LATER_MS }), alive('b-1', '10.1.0.1'));
  t.equal(ring.quarantineRules(LATER_MS).foreign.length, 1);
  proven = true;
  t.equal(ring.quarantineRules(LATER_MS + 1_000).foreign.length, 1, 'that was before');
  const peer = { address: '10.1.0.1', port: 7946 };
  ring.frame(frame({ atMs: LATER_MS + 1_500, labelState: 'own', label: Buffer.from('green'), peer }), undefined);
  t.strictSame(ring.quarantineRules(LATER_MS + 2_500).foreign, []);
});
