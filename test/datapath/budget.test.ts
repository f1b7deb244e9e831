import t from 'tap';
import { AnnouncedBudget, HoldBudget } from '../../src/datapath/budget.ts';

t.test('held bytes: who finds no room waits, one goes on, and the others follow as room comes', async (t) => {
  const budget = new HoldBudget(100, 40);
  const woken: string[] = [];
  const [a, b, c] = ['a', 'b', 'c'].map((name) => budget.claim(name, () => woken.push(name)));
  t.equal(a?.take(50), true);
  t.equal(b?.take(20), true, 'the first that finds the shared room used up may still read');
  t.equal(c?.take(10), false);
  t.equal(a?.take(10), false, 'the other waits too');
  t.equal(b?.take(10), true, 'the one goes on');
  t.equal(budget.used(), 100);
  t.same(woken, []);
  b?.release();
  t.same(woken, ['a'], 'the oldest of those that wait is the next');
  t.equal(a?.take(1), true);
  a?.release();
  t.same(woken, ['a', 'c']);
  c?.release();
  c?.release();
  t.equal(budget.used(), 0);
  t.equal(c?.take(5), true, 'what was given back counts no more');
  t.equal(budget.used(), 0);
});

t.test('held bytes: streams that fill the budget together all come to their end', async (t) => {
  const budget = new HoldBudget(100, 40);
  const done: number[] = [];
  const streams = Array.from({ length: 8 }, (_, i) => ({ i, left: 4, waits: false }));
  const claims = streams.map((stream) =>
    budget.claim(`${stream.i}`, () => {
      stream.waits = false;
    }),
  );
  let most = 0;
  for (let step = 0; step < 500 && done.length < streams.length; step++) {
    const stream = streams[step % streams.length];
    if (stream === undefined || stream.waits || stream.left === 0) continue;
    stream.left--;
    stream.waits = !(claims[stream.i]?.take(10) ?? true);
    most = Math.max(most, budget.used());
    if (stream.left > 0) continue;
    done.push(stream.i);
    claims[stream.i]?.release();
  }
  t.equal(done.length, streams.length);
  t.ok(most <= 100 + streams.length * 10, `overshoots by one read of each: ${most}`);
  t.ok(most > 60, 'the budget was used up on the way');
});

t.test('held bytes: who is told of room may end others, and begin new ones', async (t) => {
  const budget = new HoldBudget(100, 40);
  const woken: string[] = [];
  const large = budget.claim('large', () => undefined);
  large.take(60);
  budget.claim('first', () => undefined).take(1);
  const late: ReturnType<HoldBudget['claim']>[] = [];
  const ended: ReturnType<HoldBudget['claim']>[] = [];
  const a = budget.claim('a', () => {
    woken.push('a');
    for (const one of ended) one.release();
    late.push(budget.claim('late', () => woken.push('late')));
  });
  t.equal(a.take(1), false);
  const b = budget.claim('b', () => woken.push('b'));
  t.equal(b.take(1), false);
  ended.push(b);
  const c = budget.claim('c', () => woken.push('c'));
  t.equal(c.take(1), false);
  large.release();
  t.same(woken, ['a', 'c'], 'whoever waited and is still there');
  t.equal(late[0]?.take(1), true);
  for (const claim of [a, c, ...late]) claim.release();
  t.equal(budget.used(), 1, 'that of the first');
  t.same(woken, ['a', 'c']);
});

t.test('held bytes: one that is ended by who is told of room has no turn, and keeps nobody waiting', async (t) => {
  const budget = new HoldBudget(100, 40);
  const woken: string[] = [];
  const claim = (peer: string, name: string) => budget.claim(peer, () => woken.push(name));
  const large = claim('large', 'large');
  t.equal(large.take(60), true, 'the one that may go on');
  const greedy = ['one', 'two'].map((name) => claim('greedy', name));
  const modest = budget.claim('modest', () => {
    woken.push('modest');
    for (const one of greedy) one.release();
  });
  for (const one of greedy) t.equal(one.take(20), false);
  t.equal(modest.take(1), false);
  large.release();
  t.same(woken, ['modest', 'two'], 'the one that was next is over, and the other goes on alone for a moment');
  modest.release();
  t.equal(budget.used(), 0);
  t.equal(claim('later', 'later').take(60), true, 'whoever comes then may go on');
});

t.test('announced bytes: what fits goes at once, what does not waits, what never can is refused', async (t) => {
  const budget = new AnnouncedBudget(100);
  const order: string[] = [];
  const first = budget.claim('first', 70, () => order.push('first'));
  const large = budget.claim('large', 60, () => order.push('large'));
  const small = budget.claim('small', 30, () => order.push('small'));
  t.same(order, ['first', 'small'], 'whoever fits goes');
  t.equal(
    budget.claim('never', 101, () => order.push('never')),
    undefined,
  );
  const gone = budget.claim('gone', 50, () => order.push('gone'));
  gone?.release();
  first?.release();
  first?.release();
  t.same(order, ['first', 'small', 'large']);
  small?.release();
  large?.release();
  t.equal(budget.used(), 0);
});

t.test(
  'held bytes: the streams of one peer go one at a time beyond a quarter, and keep nobody else waiting',
  async (t) => {
    const budget = new HoldBudget(440, 40);
    const woken: string[] = [];
    const claim = (peer: string, name: string) => budget.claim(peer, () => woken.push(name));
    const greedy = ['first', 'second', 'third'].map((name) => claim('greedy', name));
    const [first, second, third] = greedy;
    t.equal(first?.take(150), true, 'one stream alone has all the room there is');
    t.equal(second?.take(60), true, 'the first beyond the share may go on');
    t.equal(third?.take(1), false);
    t.equal(first?.take(1), false);
    const other = claim('other', 'other');
    t.equal(other.take(150), true);
    const another = claim('another', 'another');
    t.equal(another.take(50), false, 'all is used up');
    second?.release();
    t.same(woken, ['another', 'first'], 'there is room again, and beyond the share one of the greedy goes on');
    first?.release();
    t.same(woken, ['another', 'first', 'third']);
    for (const one of [...greedy, other, another]) one.release();
    t.equal(budget.used(), 0);
  },
);

t.test('held bytes: when all is used up, who keeps to its share has the next turn', async (t) => {
  const budget = new HoldBudget(100, 20);
  const woken: string[] = [];
  const claim = (peer: string, name: string) => budget.claim(peer, () => woken.push(name));
  const greedy = Array.from({ length: 4 }, (_, i) => claim('greedy', `greedy ${i}`));
  for (const one of greedy) one.take(30);
  const modest = claim('modest', 'modest');
  t.equal(modest.take(5), false);
  // It was the one that could go on; what it gives back makes no room yet.
  greedy[1]?.release();
  t.same(woken, ['modest']);
});

t.test('announced bytes: one peer reserves a quarter at most, or one stream of any size', async (t) => {
  const budget = new AnnouncedBudget(100);
  const order: string[] = [];
  const claim = (peer: string, bytes: number, name: string) => budget.claim(peer, bytes, () => order.push(name));
  const large = claim('greedy', 40, 'large');
  const more = claim('greedy', 10, 'more');
  t.same(order, ['large']);
  claim('other', 20, 'a');
  claim('other', 5, 'b');
  claim('other', 1, 'c');
  t.same(order, ['large', 'a', 'b'], 'others go');
  large?.release();
  t.same(order, ['large', 'a', 'b', 'more']);
  more?.release();
  t.equal(budget.used(), 25);
});
