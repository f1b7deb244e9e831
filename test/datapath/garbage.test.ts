/** Random bytes on every entrance: nothing falls over, every frame is counted once, and what is rejected reaches nobody. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { createListenPath } from '../../src/datapath/listen.ts';
import { peekPacketLabel } from '../../src/wire/label.ts';
import {
  dial,
  FOREIGN,
  frames,
  LIMITS,
  makeContext,
  OWN,
  rejected,
  seeded,
  startFence,
  startRecorder,
  until,
} from './harness.ts';

const SEED = 19_980_906;

/** Bytes that often start as a frame does, so that garbage reaches the depths of the decoders. */
function garbage(random: () => number): Buffer {
  const starts = [
    [],
    [244],
    [244, OWN.length, ...OWN],
    [244, FOREIGN.length, ...FOREIGN],
    [1, 2, 97, 98],
    [2],
    [2, 244],
    [6],
  ];
  const start = starts[Math.floor(random() * starts.length)] ?? [];
  const tail = Array.from({ length: Math.floor(random() * 80) }, () => Math.floor(random() * 256));
  return Buffer.from([...start, ...tail]);
}

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

t.test('datagrams', async (t) => {
  const random = seeded(SEED);
  const made = makeContext({ stage: 'enforce' });
  const app = createSocket('udp4');
  const got: Buffer[] = [];
  app.on('message', (packet) => got.push(packet));
  app.bind(0, '127.0.0.1');
  await once(app, 'listening');
  const path = createListenPath(made.context, {
    listen: { address: '127.0.0.1', port: 0 },
    app: { address: '127.0.0.1', port: app.address().port },
    streams: { transport: 'auto', rejectStreams: 'explain', limits: LIMITS },
  });
  await path.start();
  const peer = createSocket('udp4');
  const expected: string[] = [];
  for (let i = 0; i < 500; i++) {
    const bytes = garbage(random);
    const peeked = peekPacketLabel(bytes);
    if (peeked.ok && OWN.equals(peeked.value.label)) expected.push(bytes.subarray(2 + OWN.length).toString('hex'));
    peer.send(bytes, path.listening().port, '127.0.0.1');
    // One at a time: loopback drops what a full receive buffer cannot take, and that is not what is tested here.
    await until('the count', () => sum(frames(made.reading())) === i + 1);
  }
  await until('the last of them', () => got.length >= expected.length);
  t.ok(expected.length > 10);
  t.same(
    got.map((packet) => packet.toString('hex')),
    expected,
    'exactly the own-labelled ones, stripped, in order',
  );
  t.equal(sum(rejected(made.reading())), 500 - expected.length);
  peer.close();
  app.close();
  await path.stop();
});
