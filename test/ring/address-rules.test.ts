/** What the ring says of addresses for admission, and identity rules that change while it runs. */
import t from 'tap';
import { parseCidr } from '../../src/policy/admission.ts';
import { NO_ADDRESS_RULES } from '../../src/ring/address-rules.ts';
import { createRing, type RingOptions } from '../../src/ring/ring.ts';
import { RING_CODEC } from '../../src/wire/ring-desc.ts';
import { alive, dead, foreignFrame, frame, row, START_MS, suspect } from './frames.ts';
import { ringDesc } from './ring-desc-fixture.ts';

const NONE = { cidrs: [], names: [] };
const CIDRS = [parseCidr('10.0.0.0/8')].flatMap((cidr) => cidr ?? []);

function newRing(change: Partial<RingOptions> = {}) {
  return createRing({
    startedMs: START_MS,
    warmUpMs: 0,
    identity: NONE,
    graceMs: 0,
    proven: () => false,
    ...change,
  });
}

/** Looks are a second apart at least. */
function looks(ring: ReturnType<typeof newRing>) {
  let nowMs = START_MS;
  return () => {
    nowMs += 1_000;
    return ring.addressRules(nowMs);
  };
}

t.test('an address is misnamed when living members are there and none of their names fits', async (t) => {
  const ring = newRing({ identity: { cidrs: [], names: ['a-*'] } });
  const look = looks(ring);
  t.equal(look(), NO_ADDRESS_RULES);
  ring.message(frame(), alive('a-1', '10.0.0.1'));
  ring.message(frame(), alive('b-1', '10.0.0.2'));
  ring.message(frame(), alive('b-2', '10.0.0.3'));
  ring.message(frame(), alive('a-2', '10.0.0.3'));
  ring.message(frame(), suspect('b-1'));
  t.strictSame(look().misnamed, ['10.0.0.2'], 'suspect members live');
  ring.message(frame(), dead('a-2'));
  t.strictSame(look().misnamed, ['10.0.0.2', '10.0.0.3']);
  ring.message(frame(), dead('b-1'));
  t.strictSame(look().misnamed, ['10.0.0.3'], 'where nobody lives, nobody is misnamed');
  ring.setIdentity({ cidrs: [], names: ['b-*'] });
  t.strictSame(look().misnamed, ['10.0.0.1']);
  ring.setIdentity(NONE);
  t.strictSame(look().misnamed, []);
});

t.test('an address is shared by two living members of ours on ports of their own', async (t) => {
  const ring = newRing();
  const look = looks(ring);
  ring.message(frame(), alive('a-1', '10.0.0.1'));
  ring.message(frame(), alive('a-2', '10.0.0.1'));
  t.strictSame(look().shared, [], 'one port: the same member under a new name');
  ring.message(frame(), alive('a-3', '10.0.0.1', { Port: 7947 }));
  t.strictSame(look().shared, ['10.0.0.1']);
  ring.message(frame(), dead('a-3'));
  t.strictSame(look().shared, []);
});

t.test('an address is shared with a foreigner that speaks from there for itself, on another port', async (t) => {
  const ring = newRing();
  const look = looks(ring);
  const from = (address: string) => ({ peer: { address, port: 40_000 } });
  ring.message(frame(), alive('a-1', '10.0.0.1'));
  ring.message(frame(), alive('a-2', '10.0.0.2'));
  const foreignRow = (Name: string, address: string, Port: number) => row(Name, 'alive', address, { Port });
  ring.message(
    foreignFrame('blue', { kind: 'packet', ...from('10.0.0.1') }),
    alive('b-1', '10.0.0.1', { Port: 8_000 }),
  );
  ring.node(foreignFrame('blue', from('10.1.0.9')), foreignRow('b-1', '10.0.0.1', 8_000));
  t.strictSame(look().shared, [], 'a datagram may be spoofed, and anyone may name anybody');
  ring.node(foreignFrame('blue', from('10.0.0.2')), foreignRow('b-2', '10.0.0.2', 7_946));
  t.strictSame(look().shared, [], 'the same port: an address that was recycled');
  ring.node(foreignFrame('blue', from('10.0.0.1')), foreignRow('b-1', '10.0.0.1', 8_000));
  ring.message(frame(), alive('a-4', '10.0.0.4'));
  t.strictSame(look().shared, ['10.0.0.1']);
  ring.message(frame(), alive('b-1', '10.0.0.1', { Port: 8_000 }));
  t.strictSame(look().shared, ['10.0.0.1'], 'a foreigner that joined is none of ours');
});

t.test('the same object until something changes, made anew at most once a second', async (t) => {
  const ring = newRing({ identity: { cidrs: [], names: ['a-*'] } });
  ring.message(frame(), alive('b-1', '10.0.0.2'));
  const first = ring.addressRules(START_MS);
  t.strictSame(first.misnamed, ['10.0.0.2']);
  ring.message(frame(), alive('b-2', '10.0.0.3'));
  t.equal(ring.addressRules(START_MS + 999), first, 'too soon');
  const second = ring.addressRules(START_MS + 1_000);
  t.strictSame(second.misnamed, ['10.0.0.2', '10.0.0.3']);
  t.equal(ring.addressRules(START_MS + 5_000), second);
  ring.message(frame(), alive('a-1', '10.0.0.9'));
  t.equal(ring.addressRules(START_MS + 20_000), second, 'another member, the same rules');
});

t.test('a ring of ten thousand is walked only when it changed', async (t) => {
  const ring = newRing({ identity: { cidrs: [], names: ['m-*'] } });
  for (let i = 0; i < 10_000; i++) {
    ring.message(frame(), alive(`m-${i}`, `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
  }
  ring.addressRules(START_MS);
  const startMs = performance.now();
  for (let i = 1; i <= 9_000; i++) ring.addressRules(START_MS + i);
  t.ok(performance.now() - startMs < 1_000, `${performance.now() - startMs} ms`);
});

t.test('members and instances are held against other rules at once', async (t) => {
  const ring = newRing();
  const value = ringDesc([{ id: 'i-1', address: '192.0.2.7:80', zone: '', timestamp: START_MS / 1_000 }]);
  ring.message(frame(), alive('a-1', '10.0.0.1'));
  ring.message(frame(), alive('b-1', '192.0.2.1'));
  ring.kv(frame(), { key: 'ring', value, codec: RING_CODEC, deleted: false, updateTimeMs: 0 });
  const outside = () =>
    ring
      .warnings(START_MS + 1)
      .filter(({ kind }) => kind !== 'instance_without_member')
      .map(({ kind, name, outside }) => [kind, name, outside]);
  t.notOk(ring.canTellMerges());
  t.strictSame(outside(), []);
  ring.setIdentity({ cidrs: CIDRS, names: [] });
  t.ok(ring.canTellMerges());
  t.strictSame(outside(), [
    ['member', 'b-1', 'address'],
    ['instance', 'i-1', 'address'],
  ]);
  ring.setIdentity({ cidrs: [], names: [], dns: ['192.0.2.1', '192.0.2.7'] });
  t.strictSame(outside(), [['member', 'a-1', 'address']]);
  ring.setIdentity({ cidrs: [], names: ['b-*'] });
  t.strictSame(outside(), [
    ['member', 'a-1', 'name'],
    ['instance', 'i-1', 'name'],
  ]);
  ring.message(frame(), alive('a-2', '10.0.0.3'));
  t.equal(outside().length, 3, 'whoever comes later too');
});

t.test('nobody is quarantined because DNS does not list it', async (t) => {
  const ring = newRing();
  ring.message(frame(), alive('a-1', '10.0.0.1'));
  ring.message(frame(), alive('b-1', '10.0.0.2'));
  t.strictSame(ring.quarantineRules(START_MS).foreign, []);
  ring.setIdentity({ cidrs: CIDRS, names: ['a-*'], dns: [] });
  const rules = ring.quarantineRules(START_MS);
  t.strictSame(rules.identity, { cidrs: [], names: ['a-*'] });
  t.strictSame(rules.foreign, [{ name: 'b-1', address: '10.0.0.2', port: 7946 }], 'by its name');
  t.equal(ring.quarantineRules(START_MS + 5_000), rules);
  ring.setIdentity({ cidrs: [], names: [], dns: [] });
  t.match(ring.quarantineRules(START_MS + 5_000), { identity: NONE, foreign: [], own: [] }, 'at once');
});
