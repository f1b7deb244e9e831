/** Sightings under foreign labels, and floods of them. */
import t from 'tap';
import { type Bringer, FOREIGN_TUPLE_MS, ForeignTable } from '../../src/ring/foreign.ts';
import { tupleKey } from '../../src/ring/tuple.ts';
import { START_MS } from './frames.ts';

const LIMITS = { foreignTuples: 400, foreignTuplesPerSender: 200 };
const BLUE = Buffer.from('blue');

function by(address: string, kind: 'packet' | 'stream' = 'stream', atMs = START_MS): Bringer {
  const where = { direction: 'inbound', transport: 'native', answer: false, rejected: true } as const;
  return { ...where, kind, atMs, peer: { address, port: 7946 }, message: 'alive', by: 'peer' };
}

const namesOf = (table: ForeignTable) => Array.from(table.entries(), ([, { name }]) => name);

const tuple = (name: string, address = '10.1.0.1') => ({ name, address, port: 7946 });

t.test('the first sighting stands, the last is noted', async (t) => {
  const table = new ForeignTable(LIMITS);
  const label = Buffer.from('blue');
  t.ok(table.note(tuple('b-1'), label, by('10.1.0.1')));
  label.fill(0);
  t.notOk(table.note(tuple('b-1'), Buffer.from('red'), by('10.1.0.2', 'stream', START_MS + 5)));
  t.match(table.get(tupleKey(tuple('b-1'))), {
    ...{ name: 'b-1', firstMs: START_MS, lastMs: START_MS + 5, broughtBy: { peer: { address: '10.1.0.1' } } },
    label: Uint8Array.from(BLUE),
  });
  t.notOk(table.note(tuple('x'.repeat(513)), BLUE, by('10.1.0.1')), 'a name beyond bounds');
  t.strictSame([table.size, table.evictions], [1, 1]);
});

t.test('they are forgotten when nobody names them', async (t) => {
  const table = new ForeignTable(LIMITS);
  table.note(tuple('b-1'), BLUE, by('10.1.0.1'));
  table.note(tuple('b-2'), BLUE, by('10.1.0.1'));
  table.touch(tupleKey(tuple('b-2')), START_MS + 10);
  table.touch(tupleKey(tuple('nobody')), START_MS + 10);
  table.prune(START_MS + FOREIGN_TUPLE_MS + 1);
  t.strictSame(namesOf(table), ['b-2']);
  t.equal(table.evictions, 0);
});

t.test('a flood from one sender displaces its own', async (t) => {
  const table = new ForeignTable(LIMITS);
  for (let i = 0; i < 50; i++) table.note(tuple(`b-${i}`), BLUE, by('10.1.0.1'));
  for (let i = 0; i < 5_000; i++) table.note(tuple(`flood-${i}`), BLUE, by('10.9.9.9'));
  const names = namesOf(table);
  t.equal(names.filter((name) => name.startsWith('b-')).length, 50);
  t.equal(names.length, 250);
  t.equal(table.evictions, 4_800);
});

t.test('a flood of spoofed senders has the share of datagrams', async (t) => {
  const table = new ForeignTable(LIMITS);
  for (let i = 0; i < 150; i++) table.note(tuple(`b-${i}`), BLUE, by('10.1.0.1'));
  table.note(tuple('gossip'), BLUE, by('10.1.0.2', 'packet'));
  table.note(tuple('named'), BLUE, by('10.1.0.2', 'packet'));
  table.touch(tupleKey(tuple('named')), START_MS);
  table.note(tuple('dialled'), BLUE, by('10.1.0.2', 'packet'));
  table.note(tuple('dialled'), BLUE, by('10.1.0.2', 'stream'));
  for (let i = 0; i < 2_000; i++) {
    table.note(tuple(`flood-${i}`), BLUE, by(`192.0.2.${i % 256}`, 'packet'));
  }
  const names = new Set(namesOf(table));
  t.equal([...names].filter((name) => name.startsWith('b-')).length, 150);
  t.ok(names.has('named'), 'what our own gossip names is worth keeping');
  t.ok(names.has('dialled'), 'and what came over TCP as well');
  t.ok(names.size <= LIMITS.foreignTuples);
  for (let i = 0; i < 5; i++) table.note(tuple('flood-1999'), BLUE, by('192.0.2.1', 'packet'));
  t.ok(table.has(tupleKey(tuple('flood-1999'))));
});

t.test('many senders share, the largest makes room', async (t) => {
  const table = new ForeignTable(LIMITS);
  for (let i = 0; i < 200; i++) table.note(tuple(`big-${i}`), BLUE, by('10.1.0.1'));
  for (let i = 0; i < 150; i++) table.note(tuple(`small-${i}`), BLUE, by(`10.2.0.${i}`));
  const names = namesOf(table);
  t.equal(names.length, 300, 'the share of what came over TCP');
  t.equal(names.filter((name) => name.startsWith('small-')).length, 150);
  t.notOk(names.includes('big-0'), 'its oldest went');
});

t.test('the smallest table works', async (t) => {
  const table = new ForeignTable({ foreignTuples: 1, foreignTuplesPerSender: 1 });
  table.note(tuple('a'), BLUE, by('10.1.0.1'));
  table.note(tuple('b'), BLUE, by('10.1.0.2'));
  t.strictSame(namesOf(table), ['b']);
});
