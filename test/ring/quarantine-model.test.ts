/** Quarantine heals a merged ring: the model of gossip-model.ts, merged on purpose. */
import t from 'tap';
import { type ModelMember, World } from './gossip-model.ts';

const SEEDS = [1, 2, 3, 4];
const SECOND_MS = 1_000;

/** Two clusters of their own, A fenced, each settled. */
function twoClusters(seed: number, bLabel: string | undefined, identity: { cidrs: []; names: string[] }) {
  const world = new World(seed);
  const cluster = (name: string, subnet: number, size: number, label?: string) =>
    Array.from({ length: size }, (_, i) => world.start(`${name}-${i}`, `10.0.${subnet}.${i + 1}`, label));
  const a = cluster('traces-a', 1, 6);
  const b = cluster('traces-b', 2, 5, bLabel);
  for (const member of a) world.fence(member, { identity, warmUpMs: 20 * SECOND_MS });
  for (const [first, ...rest] of [a, b])
    for (const member of rest) member.exchange((first as ModelMember).address, true);
  world.run(120 * SECOND_MS);
  return { world, a, b };
}

/** How many of `others` each of `members` holds for alive or suspect. */
const living = (members: readonly ModelMember[], others: readonly ModelMember[]) =>
  members.map(
    ({ table }) => others.filter(({ name }) => ['alive', 'suspect'].includes(table.get(name)?.state ?? '')).length,
  );

const fill = (members: readonly ModelMember[], count: number) => members.map(() => count);

/** Reconnects across the clusters, as serf does to failed members and dskit to its join addresses. */
function reconnecting(world: World, a: readonly ModelMember[], b: readonly ModelMember[]) {
  return () => {
    if (world.nowMs % (15 * SECOND_MS) !== 0) return;
    const [one, other] = [world.pick(a), world.pick(b)];
    if (world.random() < 0.5) one?.exchange(other?.address ?? '', true);
    else other?.exchange(one?.address ?? '', true);
  };
}

for (const seed of SEEDS) {
  t.test(`told by names, seed ${seed}`, async (t) => {
    const { world, a, b } = twoClusters(seed, undefined, { cidrs: [], names: ['traces-a-*'] });
    t.strictSame(living(a, b), fill(a, 0), 'apart at first');
    world.pick(a)?.exchange(world.pick(b)?.address ?? '', true);
    world.run(240 * SECOND_MS);
    t.strictSame(living(a, b), fill(a, b.length), 'merged');
    t.strictSame(living(b, a), fill(b, a.length), 'merged');
    for (const { fence } of a) if (fence !== undefined) fence.quarantine = true;
    const reconnect = reconnecting(world, a, b);
    world.run(420 * SECOND_MS, reconnect);
    for (let i = 0; i < 25; i++) {
      world.run(world.nowMs + 10 * SECOND_MS, reconnect);
      t.strictSame(living(a, b), fill(a, 0), 'all foreigners are gone, and stay gone');
      t.strictSame(living(a, a), fill(a, a.length), 'all own members are there');
    }
    world.run(world.nowMs + 120 * SECOND_MS);
    t.strictSame(living(b, b), fill(b, b.length), 'the other cluster lives as well');
    t.strictSame(living(b, a), fill(b, 0), 'and forgets us once nobody reconnects');
    for (const { fence } of a) {
      const view = fence?.ring.members(world.nowMs) ?? [];
      const alive = view.filter(({ state }) => state === 'alive').map(({ name }) => name);
      t.strictSame(alive.sort(), a.map(({ name }) => name).sort(), 'the ring sees what the app sees');
    }
  });

  t.test(`told by foreign tuples, seed ${seed}`, async (t) => {
    const { world, a, b } = twoClusters(seed, 'blue', { cidrs: [], names: [] });
    // Before anything mixes, members of B dial recycled addresses: rejected, and how A's fences learn who is foreign.
    for (const member of a) b[0]?.exchange(member.address, true);
    t.strictSame(living(a, b), fill(a, 0), 'rejected');
    // Then B's label is taken back, and one join is enough.
    for (const member of b) member.label = undefined;
    world.pick(a)?.exchange(world.pick(b)?.address ?? '', true);
    world.run(240 * SECOND_MS);
    t.strictSame(living(a, b), fill(a, b.length), 'merged');
    for (const { fence } of a) {
      t.strictSame(
        fence?.ring
          .alarms(world.nowMs)
          .map(({ name }) => name)
          .sort(),
        b.map(({ name }) => name).sort(),
        'every fence names every foreigner, and no own member',
      );
      if (fence !== undefined) fence.quarantine = true;
    }
    const reconnect = reconnecting(world, a, b);
    world.run(420 * SECOND_MS, reconnect);
    for (let i = 0; i < 25; i++) {
      world.run(world.nowMs + 10 * SECOND_MS, reconnect);
      t.strictSame(living(a, b), fill(a, 0), 'all foreigners are gone, and stay gone');
      t.strictSame(living(a, a), fill(a, a.length), 'all own members are there');
    }
  });
}
