/** memberlist's own rules for what gossip says of members. */
import t from 'tap';
import { parseCidr } from '../../src/policy/admission.ts';
import { createIdentity } from '../../src/policy/identity.ts';
import { GONE_MS, Members, type MembersOptions, REAPED_MS, SILENT_MS } from '../../src/ring/members.ts';
import { NODE_META_MAX_BYTES } from '../../src/wire/limits.ts';
import { addressBytes, alive, dead, row, START_MS, suspect } from './frames.ts';

function table(change: Partial<MembersOptions> = {}) {
  const identity = createIdentity({ cidrs: [], names: [] });
  const members = new Members({ limit: 100, identity, isLocal: () => false, vouched: () => false, ...change });
  const peer = (atMs = START_MS) => ({ atMs, byApp: false });
  const app = (atMs = START_MS) => ({ atMs, byApp: true });
  const is = (name: string) => {
    const member = members.get(name);
    return member === undefined ? undefined : `${member.state} ${member.address} ${member.incarnation}`;
  };
  return { members, peer, app, is };
}

t.test('a member as its alive message describes it', async (t) => {
  const { members, peer } = table();
  const Meta = Buffer.alloc(600, 7);
  members.alive(peer(), alive('a', '10.0.0.1', { Meta, Port: 7000, Incarnation: 9 }));
  const member = members.get('a');
  t.match(member, {
    ...{ name: 'a', address: '10.0.0.1', port: 7000, state: 'alive', incarnation: 9, outside: undefined },
    ...{ protocol: { min: 1, max: 5, current: 2 }, delegate: { min: 2, max: 5, current: 4 } },
    ...{ firstSeenMs: START_MS, addressSinceMs: START_MS, lastSeenMs: START_MS, stateSinceMs: START_MS },
  });
  t.equal(member?.meta.length, NODE_META_MAX_BYTES, 'bounded');
  Meta.fill(0);
  t.equal(member?.meta[0], 7, 'a copy');
  t.equal(members.size, 1);
});

t.test('incarnations', async (t) => {
  const { members, peer, is } = table();
  members.alive(peer(), alive('a', '10.0.0.1', { Incarnation: 5 }));
  members.alive(peer(START_MS + 1), alive('a', '10.0.0.1', { Incarnation: 4, Meta: Uint8Array.of(1) }));
  t.equal(is('a'), 'alive 10.0.0.1 5', 'older: ignored');
  t.equal(members.get('a')?.lastSeenMs, START_MS + 1, 'but seen');
  members.suspect(peer(), suspect('a', 4));
  t.equal(is('a'), 'alive 10.0.0.1 5');
  members.suspect(peer(), suspect('a', 6));
  t.equal(is('a'), 'suspect 10.0.0.1 6');
  members.alive(peer(), alive('a', '10.0.0.1', { Incarnation: 6 }));
  t.equal(is('a'), 'suspect 10.0.0.1 6', 'a refutation is greater');
  members.alive(peer(), alive('a', '10.0.0.1', { Incarnation: 7 }));
  t.equal(is('a'), 'alive 10.0.0.1 7');
  members.dead(peer(), dead('a', 6));
  t.equal(is('a'), 'alive 10.0.0.1 7');
  members.dead(peer(), dead('a', 7));
  t.equal(is('a'), 'dead 10.0.0.1 7');
  members.dead(peer(), dead('a', 9, 'a'));
  members.suspect(peer(), suspect('a', 9));
  t.equal(is('a'), 'dead 10.0.0.1 7', 'gone is gone');
  members.alive(peer(), alive('a', '10.0.0.1', { Incarnation: 8 }));
  members.dead(peer(), dead('a', 8, 'a'));
  t.equal(is('a'), 'left 10.0.0.1 8', 'its own word: it left');
});

t.test('nobody is buried before being born', async (t) => {
  const { members, peer } = table();
  members.suspect(peer(), suspect('a'));
  members.dead(peer(), dead('a'));
  members.row(peer(), row('a', 'dead'));
  members.row(peer(), row('a', 'left'));
  t.equal(members.size, 0);
});

t.test('addresses move with those who left, and with the reaped', async (t) => {
  const { members, peer, app, is } = table();
  members.alive(peer(), alive('a'));
  members.alive(peer(), alive('a', '10.0.0.2', { Incarnation: 9 }));
  t.equal(is('a'), 'alive 10.0.0.1 1', 'a conflict: the known address stands');
  members.dead(peer(), dead('a'));
  members.alive(peer(START_MS + REAPED_MS), alive('a', '10.0.0.2', { Incarnation: 9 }));
  t.equal(is('a'), 'dead 10.0.0.1 1', 'dead, not yet forgotten');
  members.alive(peer(START_MS + REAPED_MS + 1), alive('a', '10.0.0.2', { Incarnation: 0 }));
  t.equal(members.get('a')?.addressSinceMs, START_MS + REAPED_MS + 1);
  t.equal(is('a'), 'alive 10.0.0.2 0', 'forgotten: any incarnation');
  members.dead(peer(), dead('a', 0, 'a'));
  members.alive(peer(), alive('a', '10.0.0.3', { Incarnation: 0 }));
  t.equal(is('a'), 'alive 10.0.0.3 0', 'it left: at once');
  members.alive(app(), alive('a', '10.0.0.4', { Port: 1, Incarnation: 0 }));
  t.equal(is('a'), 'alive 10.0.0.4 0', 'our app repeats only what it took');
});

t.test('versions that memberlist ignores', async (t) => {
  const { members, peer } = table();
  for (const Vsn of [
    [0, 5, 2, 0, 0, 0],
    [1, 0, 2, 0, 0, 0],
    [5, 1, 2, 0, 0, 0],
    [0, 0, 0],
  ]) {
    members.alive(peer(), alive('a', '10.0.0.1', { Vsn: Uint8Array.from(Vsn) }));
  }
  t.equal(members.size, 0);
  members.alive(peer(), alive('a', '10.0.0.1', { Vsn: Uint8Array.of(1, 5, 2) }));
  members.alive(peer(), alive('b', '10.0.0.1', { Vsn: new Uint8Array(0) }));
  t.match([...members.all()], [{ protocol: undefined }, { protocol: undefined }]);
});

t.test('rows of a push/pull', async (t) => {
  const { members, peer, is } = table();
  members.row(peer(), row('a'));
  members.row(peer(), row('b', 'alive', '10.0.0.2'));
  members.row(peer(), row('a', 'dead'));
  t.equal(is('a'), 'suspect 10.0.0.1 1', 'somebody else holds it for dead: a suspect');
  members.row(peer(START_MS + 5), row('b', 'left', '10.0.0.2'));
  t.equal(is('b'), 'left 10.0.0.2 1');
  t.equal(members.get('b')?.lastSeenMs, START_MS + 5);
  members.row(peer(), row('c', 'alive', '10.0.0.3', { State: 17 }));
  t.equal(is('c'), undefined, 'no state that anyone knows');
});

t.test("our app's rows are its table", async (t) => {
  const { members, peer, app, is } = table();
  members.alive(peer(), alive('a', '10.0.0.1', { Incarnation: 9 }));
  members.row(app(), row('a', 'dead', '10.0.0.7', { Incarnation: 3 }));
  t.equal(is('a'), 'dead 10.0.0.7 3');
  members.row(app(), row('b', 'left', '10.0.0.2'));
  t.equal(is('b'), 'left 10.0.0.2 1', 'also of those nobody else named');
});

t.test('what others say of our app, it refutes', async (t) => {
  const { members, peer, app, is } = table();
  members.app.show('');
  t.equal(members.app.name, undefined);
  members.app.show('me');
  t.ok(members.isApp('me'));
  members.alive(peer(), alive('me'));
  members.suspect(peer(), suspect('me', 5));
  members.dead(peer(), dead('me', 5));
  t.equal(is('me'), 'alive 10.0.0.1 1');
  members.dead(app(), dead('me', 5, 'me'));
  t.equal(is('me'), 'left 10.0.0.1 5', 'its own word counts');
});

t.test('who is gone is forgotten, and who is named by nobody', async (t) => {
  const { members, peer } = table();
  members.alive(peer(), alive('gone'));
  members.alive(peer(), alive('silent'));
  members.dead(peer(), dead('gone'));
  members.prune(START_MS + GONE_MS);
  t.equal(members.size, 2);
  members.prune(START_MS + GONE_MS + 1);
  t.equal(members.get('gone'), undefined);
  members.prune(START_MS + SILENT_MS + 1);
  t.equal(members.size, 0);
  t.equal(members.evictions, 0);
});

t.test('a flood of invented names displaces no member that showed itself', async (t) => {
  const { members, peer } = table({ limit: 10, vouched: (address) => address.startsWith('10.0.') });
  for (let i = 0; i < 5; i++) members.alive(peer(), alive(`own-${i}`, `10.0.0.${i}`));
  for (let i = 0; i < 1_000; i++) members.alive(peer(), alive(`flood-${i}`, '192.0.2.1'));
  t.equal(members.size, 10);
  for (let i = 0; i < 5; i++) t.ok(members.get(`own-${i}`));
  t.equal(members.evictions, 995);
  members.alive(peer(), alive('x'.repeat(513)));
  t.equal(members.evictions, 996, 'a name beyond bounds is left out, counted');
});

t.test('which rule a member is outside of follows its address', async (t) => {
  const cidrs = [parseCidr('10.0.0.0/24')].flatMap((cidr) => cidr ?? []);
  const { members, peer, app } = table({ identity: createIdentity({ cidrs, names: ['own-*'] }) });
  members.alive(peer(), alive('own-1'));
  members.alive(peer(), alive('other-1'));
  t.match([...members.all()], [{ outside: undefined }, { outside: 'name' }]);
  members.alive(app(), alive('own-1', '10.9.0.1', { Incarnation: 2 }));
  t.equal(members.get('own-1')?.outside, 'address');
});

t.test('names that are no text stay apart', async (t) => {
  const { members, peer } = table();
  members.alive(peer(), alive('a\udcff', '10.0.0.1', { Addr: addressBytes('10.0.0.1') }));
  members.alive(peer(), alive('a\udcfe'));
  t.equal(members.size, 2);
});
