/** The end of a load: the fence's count is held against the app's once nothing comes any more, however long that takes. */
import t from 'tap';
import { type Settled, settle } from '../../bench/udp-settle.ts';

/** An app that has `packets[i]` at look `i`, and for ever what it has at the last. */
const sinkOf = (packets: readonly number[]) => {
  let look = 0;
  return {
    looks: () => look,
    counts: async () => ({
      packets: packets[look++] ?? packets.at(-1) ?? 0,
      bad: 0,
      reordered: 0,
      lost: 0,
      sources: 1,
    }),
  };
};
const equal = ({ last, passed }: Settled) => Number.isNaN(passed) || passed === last.packets;

t.test('a fence that still forwards what its sockets hold is not found to differ', async (t) => {
  // The metrics are read before the app is asked: while datagrams come the two never agree.
  const growing = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
  const sink = sinkOf(growing);
  let looks = 0;
  const settled = await settle(sink, async () => growing[looks++] ?? 100, equal, 1);
  t.match(settled, { last: { packets: 100 }, passed: 100 });
});

t.test('an agreement by chance while more is under way ends nothing', async (t) => {
  const settled = await settle(sinkOf([5, 10, 20, 20]), async () => 10, equal, 1);
  t.equal(settled.last.packets, 20);
});

t.test('a difference is told once nothing came for some looks', async (t) => {
  const sink = sinkOf([7]);
  t.match(await settle(sink, async () => 6, equal, 1), { last: { packets: 7 }, passed: 6 });
  t.equal(sink.looks(), 4, 'several looks, for what the fence may count late');
});

t.test('who counts nothing is waited for all the same', async (t) => {
  const settled = await settle(sinkOf([1, 2, 3, 4, 4]), async () => Number.NaN, equal, 1);
  t.equal(settled.last.packets, 4);
});
