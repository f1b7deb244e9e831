import t from 'tap';
import { TURN_PACKETS_MAX, TurnBatch } from '../../src/datapath/turn-batch.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function collect() {
  let nowMs = 1_000;
  const taken: (readonly [byte: number | undefined, from: string, atMs: number])[] = [];
  const batch = new TurnBatch<string>(
    () => nowMs++,
    (packet, from, atMs) => taken.push([packet[0], from, atMs]),
  );
  return { batch, taken, add: (i: number) => batch.add(Uint8Array.of(i), `peer ${i}`) };
}

t.test('what comes in one turn is taken together at its end, in order, each once', async (t) => {
  const { taken, add } = collect();
  add(1);
  add(2);
  t.same(taken, [], 'not before');
  await turn();
  t.same(taken, [
    [1, 'peer 1', 1_000],
    [2, 'peer 2', 1_000],
  ]);
  add(3);
  await turn();
  await turn();
  t.same(taken.slice(2), [[3, 'peer 3', 1_001]], 'the next one has a time of its own');
});

t.test('no more than the bound is ever held', async (t) => {
  const { taken, add } = collect();
  for (let i = 0; i < TURN_PACKETS_MAX - 1; i++) add(i);
  t.equal(taken.length, 0);
  add(TURN_PACKETS_MAX - 1);
  t.equal(taken.length, TURN_PACKETS_MAX, 'full: at once');
  add(TURN_PACKETS_MAX);
  t.equal(taken.length, TURN_PACKETS_MAX);
  await turn();
  t.same(
    taken.map(([byte]) => byte),
    Array.from({ length: TURN_PACKETS_MAX + 1 }, (_, i) => i),
  );
  t.equal(taken.at(-1)?.[2], 1_001);
});
