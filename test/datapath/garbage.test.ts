/** Random bytes in streams (datagrams: garbage-datagrams.test.ts): nothing falls over, every frame is counted once, and what is rejected reaches nobody. */
import t from 'tap';
import { garbage } from './garbage.ts';
import { dial, FOREIGN, frames, makeContext, rejected, seeded, startFence, startRecorder, until } from './harness.ts';

const SEED = 19_980_906;

const sum = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((total, value) => total + value, 0);

t.test('streams', async (t) => {
  const random = seeded(SEED);
  const made = makeContext({ stage: 'enforce' });
  const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end()));
  const fence = await startFence(made, target.port);
  let sent = 0;
  for (let i = 0; i < 300; i++) {
    const bytes = garbage(random);
    const dialler = await dial(fence.port);
    dialler.socket.end(bytes);
    if (bytes.length > 0) sent++;
    await dialler.ended();
    dialler.socket.destroy();
  }
  await until('the last stream to end', () => fence.streams.counts().inbound === 0);
  t.equal(sum(frames(made.reading())), sent, `seed ${SEED}: each is counted once`);
  const passed = sent - sum(rejected(made.reading()));
  t.ok(passed > 10 && passed < sent - 10, `some pass (${passed} of ${sent}), some do not`);
  t.equal(target.connections.length, passed);
  for (const connection of target.connections) {
    t.notOk(connection.received().includes(FOREIGN), 'nothing foreign came through');
  }
  await fence.close();
  await target.close();
});
