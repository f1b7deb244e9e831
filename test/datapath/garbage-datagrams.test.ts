/** Random bytes in datagrams, over both engines: nothing falls over, every one is counted once, and what is rejected reaches nobody. */
import t from 'tap';
import { peekPacketLabel } from '../../src/wire/label.ts';
import { overEngines } from '../lab/engines.ts';
import { garbage } from './garbage.ts';
import { frames, makeContext, OWN, rejected, seeded, until } from './harness.ts';
import { startApp, startDatagrams, startUdp, stopLoop } from './listen-kit.ts';

const SEED = 19_980_906;
const DATAGRAMS = 500;
/** Loopback drops what a full receive buffer cannot take, and that is not what is tested here. */
const AT_ONCE = 25;

const sum = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((total, value) => total + value, 0);

t.teardown(stopLoop);

overEngines(t, 'garbage', async (t, engine) => {
  const random = seeded(SEED);
  const made = makeContext({ stage: 'enforce' });
  const app = await startApp();
  const path = await startDatagrams(engine, made, { app: { address: '127.0.0.1', port: app.port } });
  const peer = await startUdp();
  const expected: string[] = [];
  for (let i = 0; i < DATAGRAMS; i++) {
    const bytes = garbage(random);
    const peeked = peekPacketLabel(bytes);
    if (peeked.ok && OWN.equals(peeked.value.label)) expected.push(bytes.subarray(2 + OWN.length).toString('hex'));
    peer.socket.send(bytes, path.port, '127.0.0.1');
    if ((i + 1) % AT_ONCE === 0) await until('the count', () => sum(frames(made.reading())) === i + 1);
  }
  await until('the last of them', () => app.udp.got.length >= expected.length);
  t.ok(expected.length > 10);
  t.same(
    app.udp.got.map(({ bytes }) => bytes.toString('hex')),
    expected,
    'exactly the own-labelled ones, stripped, in order',
  );
  t.equal(sum(rejected(made.reading())), DATAGRAMS - expected.length);
  peer.socket.close();
  await path.stop();
  await app.close();
});
