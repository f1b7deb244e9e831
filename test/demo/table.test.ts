import t, { type Test } from 'tap';
import { LAN_TIMING, MEMBERS_MAX, VERSIONS } from '../../src/demo/settings.ts';
import { MemberTable, type TableEvent } from '../../src/demo/table.ts';
import { decodeMessage, type Message, type MessageOf } from '../../src/wire/messages.ts';
import { NODE_STATE } from '../../src/wire/push-pull.ts';

/** A table of "me", what it broadcast, and what it reported. Suspicions end after 40 ms instead of 4 s. */
function makeTable(t: Test) {
  const sent: Message[] = [];
  const events: TableEvent[] = [];
  const table = new MemberTable({
    settings: {
      name: 'me',
      advertise: { address: '10.0.0.1', port: 7946 },
      timing: { ...LAN_TIMING, probeIntervalMs: 10 },
    },
    broadcast(_name, bytes) {
      const message = decodeMessage(bytes);
      if (message.ok) sent.push(message.value);
    },
    onEvent: (event) => events.push(event),
  });
  t.teardown(() => table.stop());
  return { table, sent, events, kinds: () => events.map(({ kind, name }) => `${kind} ${name}`) };
}

function alive(name: string, change: Partial<MessageOf<'alive'>> = {}): MessageOf<'alive'> {
  const place = { Addr: Uint8Array.of(10, 0, 0, 2), Port: 7946 };
  return { type: 'alive', Node: name, Incarnation: 1, ...place, Meta: new Uint8Array(0), Vsn: VERSIONS, ...change };
}

t.test('a newcomer is told on once; older and equal news is not', async (t) => {
  const { table, sent, kinds } = makeTable(t);
  t.match(sent, [{ type: 'alive', Node: 'me', Incarnation: 1 }], 'it announces itself');
  table.alive(alive('a'));
  table.alive(alive('a'));
  table.alive(alive('a', { Incarnation: 0 }));
  t.equal(sent.length, 2);
  table.alive(alive('a', { Incarnation: 2 }));
  t.equal(sent.length, 3);
  t.strictSame(kinds(), ['joined a']);
  t.match(table.get('a'), { endpoint: { address: '10.0.0.2', port: 7946 }, incarnation: 2, state: 'alive' });
});

t.test('what is no member is not taken in', async (t) => {
  const { table } = makeTable(t);
  table.alive(alive('a', { Port: 0 }));
  table.alive(alive('a', { Addr: new Uint8Array(0) }));
  table.alive(alive('a', { Addr: Uint8Array.of(1, 2, 3, 4, 5) }));
  for (const size of [0, 1, 2, 3, 4, 5]) table.alive(alive('a', { Vsn: VERSIONS.slice(0, size) }));
  table.alive(alive('a', { Vsn: Uint8Array.of(0, 5, 2, 0, 0, 0) }));
  table.alive(alive('a', { Vsn: Uint8Array.of(3, 2, 2, 0, 0, 0) }));
  table.alive(alive('n'.repeat(256)));
  table.alive(alive('a', { Meta: new Uint8Array(513) }));
  t.equal(table.size, 1);
  table.alive(alive('b', { Meta: new Uint8Array(512) }));
  table.suspect({ Node: 'b', Incarnation: 1, From: 'n'.repeat(256) });
  table.dead({ Node: 'b', Incarnation: 1, From: 'n'.repeat(256) });
  t.equal(table.get('b')?.state, 'alive');
  table.alive(alive('v6', { Addr: Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) }));
  t.equal(table.get('v6')?.endpoint.address, 'fd00::1');
});

t.test('the table is bounded', async (t) => {
  const { table } = makeTable(t);
  for (let i = 0; i < MEMBERS_MAX + 50; i++) table.alive(alive(`m${i}`));
  t.equal(table.size, MEMBERS_MAX);
});

t.test('another address under a known name is a conflict, unless that member has left', async (t) => {
  const { table, kinds } = makeTable(t);
  const elsewhere = alive('a', { Addr: Uint8Array.of(10, 0, 0, 9), Incarnation: 7 });
  table.alive(alive('a'));
  table.alive(elsewhere);
  t.equal(table.get('a')?.endpoint.address, '10.0.0.2');
  table.dead({ Node: 'a', Incarnation: 1, From: 'a' });
  table.alive(elsewhere);
  t.equal(table.get('a')?.endpoint.address, '10.0.0.9');
  t.strictSame(kinds(), ['joined a', 'conflict a', 'left a', 'joined a']);
});

t.test('a suspect that stays silent dies; one that refutes lives', async (t) => {
  const { table, kinds } = makeTable(t);
  table.alive(alive('a'));
  table.alive(alive('b'));
  table.suspect({ Node: 'a', Incarnation: 1, From: 'b' });
  table.suspect({ Node: 'b', Incarnation: 0, From: 'a' });
  t.equal(table.get('b')?.state, 'alive', 'an old accusation counts for nothing');
  table.suspect({ Node: 'b', Incarnation: 1, From: 'a' });
  table.alive(alive('b', { Incarnation: 2 }));
  t.strictSame([table.get('a')?.state, table.get('b')?.state], ['suspect', 'alive']);
  await new Promise((resolve) => setTimeout(resolve, 400));
  t.strictSame([table.get('a')?.state, table.get('b')?.state], ['dead', 'alive']);
  t.strictSame(kinds(), ['joined a', 'joined b', 'suspected a', 'suspected b', 'died a']);
});

t.test('we are never dead in our own list: every accusation is outdone', async (t) => {
  const { table, sent, kinds } = makeTable(t);
  table.suspect({ Node: 'me', Incarnation: 5, From: 'a' });
  table.dead({ Node: 'me', Incarnation: 9, From: 'a' });
  table.alive(alive('me', { Incarnation: 20, Addr: Uint8Array.of(10, 0, 0, 1), Meta: Uint8Array.of(1) }));
  t.match(
    sent.map((message) => ('Incarnation' in message ? message.Incarnation : undefined)),
    [1, 6, 10, 21],
  );
  t.strictSame(kinds(), ['refuted me', 'refuted me', 'refuted me']);
  table.dead({ Node: 'me', Incarnation: 2 ** 32 - 1, From: 'a' });
  t.equal(table.get('me')?.incarnation, 2 ** 32 - 1, 'and stays within 32 bits');
});

t.test('a push/pull is merged: the dead of others are only suspected', async (t) => {
  const { table } = makeTable(t);
  const { Addr, Port, Meta, Vsn } = alive('a');
  const row = (Name: string, State: number) => ({ Name, Addr, Port, Meta, Vsn, Incarnation: 1, State });
  table.merge([row('a', NODE_STATE.alive), row('b', NODE_STATE.alive), row('c', 77), row('d', NODE_STATE.dead)]);
  t.strictSame(
    [...table.all()].map(({ name }) => name).sort(),
    ['a', 'b', 'me'],
    'the dead and the unknown do not join',
  );
  table.merge([row('a', NODE_STATE.dead), row('b', NODE_STATE.left)]);
  t.strictSame([table.get('a')?.state, table.get('b')?.state], ['suspect', 'left']);
  t.strictSame(
    table
      .states()
      .map(({ Name, State }) => [Name, State])
      .sort(),
    [
      ['a', NODE_STATE.suspect],
      ['b', NODE_STATE.left],
      ['me', NODE_STATE.alive],
    ],
  );
});

t.test('leaving alone takes no time, and nobody talks us out of it', async (t) => {
  const { table, sent } = makeTable(t);
  await table.leave();
  t.match(sent.at(-1), { type: 'dead', Node: 'me', From: 'me' });
  const before = sent.length;
  table.suspect({ Node: 'me', Incarnation: 5, From: 'a' });
  table.alive(alive('me', { Incarnation: 9, Addr: Uint8Array.of(10, 0, 0, 1) }));
  t.equal(sent.length, before, 'no refutation');
});
