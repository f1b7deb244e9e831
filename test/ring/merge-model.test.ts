/** The merge alarm over simulated rings: silent while a cluster lives its life, loud when it merges. */
import t from 'tap';
import { spokenByPeer } from '../../src/ring/source.ts';
import { addressText, tupleKey } from '../../src/ring/tuple.ts';
import { NODE_STATE } from '../../src/wire/push-pull.ts';
import { type ModelFence, type ModelMember, type Watch, World } from './gossip-model.ts';

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);
const SECOND_MS = 1_000;
const ALARM_WITHIN_MS = 60 * SECOND_MS;

/** A fence's own books: what the definition of the alarm says of the frames that it saw, each tuple with the time of its proof. */
function bookkeeper(startedMs: number, warmUpMs: number) {
  const own = new Set<string>();
  const foreign = new Set<string>();
  const proofs = new Map<string, number>();
  const alive = (key: string, source: Parameters<Watch>[0]) => {
    if (source.labelState === 'foreign') {
      if (spokenByPeer(source)) foreign.add(key);
      return;
    }
    if (source.rejected) return;
    const warmingUp = source.atMs < startedMs + warmUpMs;
    if (!own.has(key) && foreign.has(key) && !warmingUp && !proofs.has(key)) proofs.set(key, source.atMs);
    own.add(key);
  };
  const watch: Watch = (source, messages, rows) => {
    for (const message of messages) {
      if (message.type !== 'alive') continue;
      alive(tupleKey({ name: message.Node, address: addressText(message.Addr), port: message.Port }), source);
    }
    for (const { Name, Addr, Port, State } of rows) {
      if (State === NODE_STATE.alive) alive(tupleKey({ name: Name, address: addressText(Addr), port: Port }), source);
    }
  };
  return { watch, proofs };
}

interface Fenced {
  readonly fence: ModelFence;
  readonly proofs: ReadonlyMap<string, number>;
  readonly member: ModelMember;
}

interface Life {
  readonly world: World;
  readonly own: ModelMember[];
  readonly strangers: ModelMember[];
  readonly fences: Fenced[];
  /** Members of ours that the strangers talked to, long ago. */
  remembered: { readonly name: string; readonly address: string }[];
  /** Names that were ever ours. */
  readonly ours: Set<string>;
}

const WARM_UP_MS = 60 * SECOND_MS;

/** A cluster of ours with fences on some members, and a labelled one of strangers beside it. */
function begin(seed: number): Life {
  const world = new World(seed);
  const life: Life = { world, own: [], strangers: [], fences: [], remembered: [], ours: new Set() };
  for (let i = 0; i < 6; i++) add(life, `tempo-${i}`, `10.0.1.${i + 1}`, i < 2);
  for (let i = 0; i < 4; i++) life.strangers.push(world.start(`other-${i}`, `10.0.2.${i + 1}`, 'blue'));
  for (const member of life.strangers.slice(1)) member.exchange(life.strangers[0]?.address ?? '', true);
  life.remembered = life.own.slice(0, 4).map(({ name, address }) => ({ name, address }));
  world.run(90 * SECOND_MS);
  return life;
}

function add(life: Life, name: string, address: string, fenced: boolean): ModelMember {
  const { world, own, ours, fences } = life;
  const seed = world.pick(own.filter(({ up }) => up));
  const member = world.start(name, address);
  if (fenced) fences.push(newFence(life, member));
  own.push(member);
  ours.add(name);
  if (seed !== undefined) member.exchange(seed.address, true);
  return member;
}

function newFence({ world }: Life, member: ModelMember): Fenced {
  const { watch, proofs } = bookkeeper(world.nowMs, WARM_UP_MS);
  return { fence: world.fence(member, { warmUpMs: WARM_UP_MS }, watch), proofs, member };
}

/** A fence is restarted: it knows nothing any more, and strangers' tables may be the first that it sees. */
function restartFence(life: Life): void {
  const at = Math.floor(life.world.random() * life.fences.length);
  const old = life.fences[at];
  if (old?.member.up === true) life.fences[at] = newFence(life, old.member);
}

/** The member says goodbye, or just dies. */
function remove(life: Life, member: ModelMember, politely: boolean): void {
  if (politely) {
    const { name } = member;
    member.up = false;
    member.dead(name, member.self.incarnation, name);
    for (let i = 0; i < 4; i++) member.gossip();
  }
  member.up = false;
  life.own.splice(life.own.indexOf(member), 1);
}

/** Strangers who remember recycled addresses: they dial us and gossip at us under their label, as in every namespace with two clusters. */
function strangersDial({ world, own, strangers, remembered }: Life): void {
  const [from, to] = [world.pick(strangers), world.pick(own)];
  if (from === undefined || to === undefined) return;
  // They list members of ours as alive, from when they last talked to them: our own all the same.
  for (const { name, address } of remembered) {
    from.table.set(name, { name, address, incarnation: 1, state: 'alive', changedMs: world.nowMs });
  }
  from.exchange(to.address, true);
  from.announce();
  const [broadcast] = from.queue.values();
  if (broadcast !== undefined) world.packet(from, to.address, broadcast.bytes);
}

/** One event of a healthy cluster's life. */
function live(life: Life, step: number): void {
  const { world, own } = life;
  const choice = world.random();
  const victim = world.pick(own.slice(2));
  if (victim === undefined || choice < 0.3) add(life, `tempo-new-${step}`, `10.0.3.${step % 250}`, choice < 0.05);
  else if (choice < 0.55 && own.length > 4) remove(life, victim, choice < 0.45);
  else if (choice < 0.75) {
    // A rolling restart: the same name at a new address.
    remove(life, victim, choice < 0.65);
    add(life, victim.name, `10.0.4.${step % 250}`, false);
  } else if (choice < 0.9 && own.length > 4) {
    // The address goes to a new member of the same cluster, at once.
    remove(life, victim, true);
    add(life, `tempo-heir-${step}`, victim.address, false);
  }
  strangersDial(life);
  if (step % 10 === 5) restartFence(life);
}

const alarmsOf = ({ world, fences }: Life) => fences.map(({ fence }) => fence.ring.alarms(world.nowMs).length);

for (const seed of SEEDS) {
  t.test(`a healthy life, then a merge, seed ${seed}`, async (t) => {
    const life = begin(seed);
    const { world, fences, own, strangers } = life;
    for (let step = 0; step < 40; step++) {
      live(life, step);
      world.run(world.nowMs + 20 * SECOND_MS);
    }
    t.strictSame(
      alarmsOf(life),
      fences.map(() => 0),
      'no alarm in 800 s of growing, shrinking, restarting, recycling',
    );
    t.ok(
      fences.some(({ fence }) => fence.ring.foreignTuples(world.nowMs).length >= 4),
      'although strangers were seen',
    );
    for (const { fence } of fences) {
      for (const { name, address, own: isOwn } of fence.ring.foreignTuples(world.nowMs)) {
        const lives = own.some((member) => member.name === name && member.address === address);
        // Of members that left before the fence started it only knows what strangers say.
        if (lives || !life.ours.has(name)) t.equal(isOwn, lives, name);
      }
    }

    // A member of ours dials a stranger, whose answer carries no label.
    world.pick(own)?.exchange(world.pick(strangers)?.address ?? '', true);
    world.run(world.nowMs + ALARM_WITHIN_MS);
    const proven = fences.filter(({ proofs }) => proofs.size > 0);
    t.ok(proven.length > 0, 'the merge was provable');
    // Besides strangers, a newcomer of ours can be accused that they named under their label before a fence of ours heard of it.
    const accused = fences.flatMap(({ fence }) => fence.ring.alarms(world.nowMs).map(({ name }) => name));
    t.ok(
      accused.some((name) => name.startsWith('other-')),
      'strangers are named',
    );
    for (const { fence, proofs } of proven) {
      const alarms = new Map(fence.ring.alarms(world.nowMs).map((alarm) => [tupleKey(alarm), alarm]));
      t.strictSame([...alarms.keys()].sort(), [...proofs.keys()].sort(), 'alarms are the proven tuples, no more');
      for (const [key, atMs] of proofs) t.ok((alarms.get(key)?.atMs ?? Infinity) - atMs <= ALARM_WITHIN_MS, key);
      for (const { foreign } of alarms.values()) t.equal(Buffer.from(foreign.label).toString(), 'blue');
      t.equal(fence.ring.alarmsRaised(), proofs.size, 'each counted once');
    }
    t.notOk(
      fences.some(({ fence, proofs }) => proofs.size === 0 && fence.ring.alarms(world.nowMs).length > 0),
      'none without proof',
    );
  });
}
