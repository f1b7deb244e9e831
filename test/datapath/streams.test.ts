import t from 'tap';
import { type PathCase, pathCases } from './cases.ts';
import { dial, makeContext, rejected, sendAll, startFence, startRecorder, until } from './harness.ts';

const STRANGERS = [{ address: '10.0.0.0', prefix: 8, family: 'ipv4' } as const];

const TCP_CASES = pathCases(['native', 'dskit-stream', 'dskit-packet'], ['inbound', 'outbound']);

function transportOf({ carrier }: PathCase): string {
  return carrier === 'native' ? 'native stream' : carrier === 'dskit-stream' ? 'dskit stream' : 'dskit packet';
}

t.test('every stage, label state, transport and direction', async (t) => {
  for (const row of TCP_CASES) {
    await t.test(row.name, async (t) => {
      const made = makeContext({ stage: row.stage }, row.admitted ? undefined : STRANGERS);
      const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end('answer')));
      const fence = await startFence(made, target.port, { direction: row.direction });
      const dialler = await dial(fence.port);
      await sendAll(dialler, [row.sent]);
      await dialler.ended();
      if (row.delivered !== undefined) {
        t.equal(target.connections.length, 1);
        t.same(target.connections[0]?.received().toString('hex'), row.delivered.toString('hex'));
        t.equal(await target.connections[0]?.ended(), 'fin');
        t.equal(dialler.received().toString(), 'answer', 'the answer is raw');
        t.same(rejected(made.reading()), {});
      } else {
        t.equal(fence.dials(), 0);
        t.equal(target.connections.length, 0, 'not even a connection');
        t.same(rejected(made.reading()), { [`${row.direction} ${transportOf(row)} ${row.reason}`]: 1 });
        t.equal(made.rejections[0]?.reason, row.reason);
        t.equal(dialler.received()[0], row.carrier === 'dskit-packet' ? undefined : 13, 'streams are told why');
      }
      dialler.socket.destroy();
      await until('the stream to be forgotten', () => {
        const { inbound, outbound } = fence.streams.counts();
        return inbound + outbound === 0;
      });
      await fence.close();
      await target.close();
    });
  }
});
