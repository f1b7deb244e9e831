// Frames of strangers on the portable paths: they wait for what is asked about their peer, untouched and uncounted, and are then decided
// by the rules of that moment. So do all frames while the stage is not known.
import { connect } from 'node:net';
import t from 'tap';
import { createDoubts, type DoubtsQueue } from '../../src/datapath/doubts.ts';
import type { FenceContext, Stranger } from '../../src/datapath/engine.ts';
import { NO_INSIDE } from '../../src/datapath/inside.ts';
import { createListenPath } from '../../src/datapath/listen.ts';
import { createAdmission, NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import { createSnapshot } from '../../src/policy/decide.ts';
import type { Direction } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { encodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import { encodeLabelHeader } from '../../src/wire/label.ts';
import { type Mark, MESSAGE, marked } from './cases.ts';
import {
  dial,
  frames,
  LIMITS,
  makeContext,
  OWN,
  pause,
  rejected,
  sendAll,
  startFence,
  startRecorder,
  type TestContext,
  throughGate,
  until,
} from './harness.ts';
import { createPacketPathKit, endsOf } from './linux/kernel-kit.ts';

const HEADER = encodeLabelHeader(OWN);
const PEER = { address: '127.0.0.1', port: 7946 };
const GOSSIP = Buffer.concat([Buffer.of(8), Buffer.from('what an app has to say')]);

interface Scene extends TestContext {
  readonly doubts: DoubtsQueue;
  readonly asked: Stranger[];
  /** How many frames inspection was offered. */
  readonly offered: string[];
  /** DNS answers: these addresses. */
  answer(...addresses: string[]): void;
  /** The stage becomes known. */
  begin(stage: Stage): void;
}

/** A fence whose members are named by DNS, which names nobody yet. */
function scene(stage: Stage, starting = false): Scene {
  const made = makeContext({ stage });
  const asked: Stranger[] = [];
  const offered: string[] = [];
  const named = (dns: readonly string[]) => createAdmission({ ...NO_ADMISSION_RULES, byDns: true, dns });
  let admission = named([]);
  let isStarting = starting;
  let { snapshot } = made.context;
  const doubts = createDoubts({
    canAsk: () => true,
    starting: () => isStarting,
    ask: (peer) => asked.push(peer),
    now: made.context.now,
    waitMs: 60_000,
    bytesMax: 100_000,
  });
  const context: FenceContext = {
    ...made.context,
    doubts,
    snapshot: () => snapshot(),
    admission: () => admission,
    starting: () => isStarting,
    inside: { ...NO_INSIDE, room: () => true, packet: ({ labelState }) => void offered.push(labelState) },
  };
  return {
    ...made,
    context,
    doubts,
    asked,
    offered,
    answer(...addresses) {
      admission = named(addresses);
      doubts.answered();
    },
    begin(next) {
      const { settings } = snapshot();
      const made = createSnapshot({ ...settings, stage: next });
      snapshot = () => made;
      isStarting = false;
      doubts.answered();
    },
  };
}

/** Passes a packet that may wait, as a path does; what is sent of it is put into `sent`. */
function offer({ context }: Scene, packet: Uint8Array, direction: Direction, sent: string[]): void {
  const pass = (keep?: () => () => void) => {
    const out = throughGate(context, packet, direction, PEER, keep);
    if (out !== undefined) sent.push(out.toString('hex'));
  };
  pass(() => () => pass());
}

t.test('a packet of a stranger waits, unseen and uncounted, and passes once DNS names its sender', async (t) => {
  for (const direction of ['inbound', 'outbound'] as const) {
    const one = scene('label');
    const sent: string[] = [];
    offer(one, GOSSIP, direction, sent);
    t.strictSame(one.asked, [{ address: '127.0.0.1', reached: direction === 'outbound' }]);
    t.strictSame([sent, one.offered, one.rejections, frames(one.reading())], [[], [], [], {}]);
    t.strictSame(one.context.peers.records(one.context.now()), [], 'nothing is learned');
    one.answer('127.0.0.1');
    const wire = direction === 'outbound' ? Buffer.concat([HEADER, GOSSIP]) : GOSSIP;
    t.strictSame(sent, [wire.toString('hex')]);
    t.strictSame(one.offered, ['none']);
    t.strictSame(frames(one.reading()), { [`${direction} native packet none pass`]: 1 });
    t.equal(one.context.peers.records(one.context.now()).length, 1);
  }
});

t.test('it is rejected, once, when the answer does not name its sender, and does not wait again', async (t) => {
  const one = scene('accept');
  const sent: string[] = [];
  offer(one, GOSSIP, 'inbound', sent);
  one.answer('10.0.0.1');
  t.strictSame(rejected(one.reading()), { 'inbound native packet peer_not_admitted': 1 });
  t.equal(one.rejections.length, 1);
  t.equal(one.doubts.waiting(), 0);
  offer(one, GOSSIP, 'inbound', sent);
  t.strictSame(rejected(one.reading()), { 'inbound native packet peer_not_admitted': 2 }, 'at once: it rests');
  t.equal(one.asked.length, 1);
});

t.test('where the time ends without an answer it is decided by what is known', async (t) => {
  const one = scene('accept');
  offer(one, GOSSIP, 'outbound', []);
  one.doubts.expire(one.context.now() + 60_001);
  t.strictSame(rejected(one.reading()), { 'outbound native packet peer_not_admitted': 1 });
});

t.test('the foreign evidence of a recycled address is a reason to ask too', async (t) => {
  const one = scene('accept');
  one.answer('127.0.0.1');
  const address = parseAddress('127.0.0.1') as Uint8Array;
  one.context.peers.learn(address, 'foreign', one.context.now());
  const sent: string[] = [];
  offer(one, GOSSIP, 'inbound', sent);
  t.equal(one.doubts.waiting(), 1);
  one.context.peers.absolve(address, one.context.now());
  one.answer('127.0.0.1');
  t.equal(sent.length, 1);
});

t.test('what is no question of identity is decided at once', async (t) => {
  const one = scene('enforce');
  const sent: string[] = [];
  for (const mark of ['own', 'none', 'foreign', 'label_empty'] as const)
    offer(one, marked(mark, GOSSIP), 'inbound', sent);
  t.strictSame(one.asked, []);
  t.equal(sent.length, 1, 'own passes from anyone');
  t.strictSame(rejected(one.reading()), {
    'inbound native packet label_missing': 1,
    'inbound native packet label_foreign': 1,
    'inbound native packet label_empty': 1,
  });
});

t.test('observe: nothing waits, and the stranger is asked about', async (t) => {
  const one = scene('observe');
  const sent: string[] = [];
  for (let i = 0; i < 3; i++) offer(one, GOSSIP, 'inbound', sent);
  t.equal(sent.length, 3);
  t.equal(one.asked.length, 1);
  offer(one, marked('foreign', GOSSIP), 'inbound', sent);
  t.equal(one.asked.length, 1);
});

t.test(
  'until the stage is known every packet waits, also in observe, and each is decided by the stage that it becomes',
  async (t) => {
    const one = scene('observe', true);
    const sent: string[] = [];
    for (const mark of ['own', 'none', 'foreign'] as const) offer(one, marked(mark, GOSSIP), 'inbound', sent);
    one.doubts.answered();
    t.strictSame([sent, one.offered, frames(one.reading())], [[], [], {}], 'an answer of DNS is no stage');
    one.begin('enforce');
    t.strictSame(sent, [GOSSIP.toString('hex')]);
    t.strictSame(frames(one.reading()), {
      'inbound native packet own pass': 1,
      'inbound native packet none reject': 1,
      'inbound native packet foreign reject': 1,
    });
  },
);

t.test('the transparent path keeps a copy: the memory that packets arrive in is used again', async (t) => {
  const one = scene('accept');
  const path = createPacketPathKit(one.context, { has: () => false, inbound: () => true });
  const destination = { address: '10.0.0.1', port: 2 };
  const from = (port: number, text: string) =>
    path.handle({ source: { address: '10.0.0.7', port }, destination, payload: Buffer.from(`\x08${text}`) });
  from(2, 'first');
  from(3, 'other');
  path.batches.received.memory.fill(0xff);
  one.answer('10.0.0.7');
  t.strictSame(
    path.sent.map(({ flow, bytes }) => `${endsOf(flow).from} ${endsOf(flow).to} ${bytes}`),
    ['10.0.0.7 2 10.0.0.1 2 \bfirst', '10.0.0.7 3 10.0.0.1 2 \bother'],
  );
});

t.test('the listen path: an app of this process may use its buffer again', async (t) => {
  const one = scene('accept');
  const target = await startRecorder();
  const app = { address: '127.0.0.1', port: target.port };
  const listen = { address: '127.0.0.1', port: 0 };
  const path = createListenPath(one.context, {
    listen,
    app,
    streams: { transport: 'auto', rejectStreams: 'explain', limits: LIMITS },
  });
  await path.start();
  const peer = await startUdp();
  const buffer = Buffer.from(GOSSIP);
  path.outboundPacket(buffer, { address: '127.0.0.1', port: peer.port });
  buffer.fill(0);
  t.equal(path.counts().waitingFrames, 1);
  await pause(30);
  t.strictSame(peer.received, []);
  one.answer('127.0.0.1');
  await until('it to arrive', () => peer.received.length === 1);
  t.strictSame(peer.received[0], GOSSIP);
  t.equal(path.counts().waitingFrames, 0);
  await path.stop();
  peer.close();
  await target.close();
});

async function startUdp() {
  const { createSocket } = await import('node:dgram');
  const socket = createSocket('udp4');
  const received: Buffer[] = [];
  socket.on('message', (bytes) => received.push(bytes));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, received, close: () => socket.close() };
}

const CARRIERS: Readonly<Record<string, (mark: Mark) => Buffer>> = {
  native: (mark) => marked(mark, MESSAGE),
  dskit: (mark) => Buffer.concat([Buffer.of(2), marked(mark, MESSAGE)]),
};

t.test('a stream of a stranger waits before anything is dialled, in both directions', async (t) => {
  for (const [carrier, bytesOf] of Object.entries(CARRIERS)) {
    for (const direction of ['inbound', 'outbound'] as const) {
      for (const named of [true, false]) {
        const one = scene('accept');
        const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end('answer')));
        const fence = await startFence(one, target.port, { direction });
        const dialler = await dial(fence.port);
        await sendAll(dialler, [bytesOf('none')]);
        await until('it to wait', () => one.doubts.waiting() === 1);
        t.strictSame(one.asked, [{ address: '127.0.0.1', reached: true }]);
        await pause(20);
        t.strictSame(
          [fence.dials(), dialler.ending(), frames(one.reading())],
          [0, 'open', {}],
          `${carrier} ${direction}`,
        );
        one.answer(...(named ? ['127.0.0.1'] : []));
        await dialler.ended();
        t.equal(fence.dials(), named ? 1 : 0);
        const verdict = `${direction} ${carrier} stream none ${named ? 'pass' : 'reject'}`;
        t.strictSame(frames(one.reading()), { [verdict]: 1 });
        if (named) t.strictSame(target.connections[0]?.received(), bytesOf('none'));
        else t.match(dialler.received().toString('latin1'), 'is not admitted');
        dialler.socket.destroy();
        await until('it to be over', () => fence.streams.counts()[direction] === 0);
        await fence.close();
        await target.close();
      }
    }
  }
});

t.test('a dialler that goes away, or a stop, while its stream waits', async (t) => {
  for (const how of ['dialler', 'stop'] as const) {
    const one = scene('accept');
    const target = await startRecorder();
    const fence = await startFence(one, target.port);
    const socket = connect({ port: fence.port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    socket.write(marked('none', MESSAGE));
    await until('it to wait', () => one.doubts.waiting() === 1);
    if (how === 'dialler') socket.resetAndDestroy();
    else fence.streams.stop();
    await pause(20);
    one.answer(...(how === 'stop' ? ['127.0.0.1'] : []));
    await until('it to be over', () => fence.streams.counts().inbound === 0);
    t.equal(fence.dials(), 0);
    const verdict = how === 'stop' ? 'pass' : 'reject';
    t.strictSame(
      frames(one.reading()),
      { [`inbound native stream none ${verdict}`]: 1 },
      'judged like any that has gone',
    );
    socket.destroy();
    await fence.close();
    await target.close();
  }
});

t.test('until the stage is known streams are not read, then go the way of that stage', async (t) => {
  for (const [stage, out] of [
    ['observe', 'own'],
    ['label', 'none'],
  ] as const) {
    const one = scene('observe', true);
    const target = await startRecorder(({ socket }) => socket.on('end', () => socket.end('answer')));
    const fence = await startFence(one, target.port);
    const dialler = await dial(fence.port);
    await sendAll(dialler, [marked('own', MESSAGE)]);
    await until('it to wait', () => one.doubts.waiting() === 1);
    await pause(20);
    t.equal(fence.dials(), 0);
    one.begin(stage);
    await dialler.ended();
    t.strictSame(target.connections[0]?.received(), marked(out, MESSAGE), stage);
    await fence.close();
    await target.close();
  }
});

t.test('a stream that was cut while the stage was unknown is gone without a word', async (t) => {
  const one = scene('observe', true);
  const target = await startRecorder();
  const fence = await startFence(one, target.port);
  const dialler = await dial(fence.port);
  await until('it to wait', () => one.doubts.waiting() === 1);
  fence.streams.stop();
  await dialler.ended();
  one.begin('accept');
  t.strictSame([fence.dials(), frames(one.reading())], [0, {}]);
  await fence.close();
  await target.close();
});

t.test("Alertmanager's packets: the first waits, those behind it keep their order", async (t) => {
  const packet = (text: string) =>
    Buffer.from(encodeAlertmanagerFrame({ kind: 'packet', from: '127.0.0.1:9094', msg: Buffer.from(`\x08${text}`) }));
  const all = Array.from({ length: 20 }, (_, i) => packet(`packet ${i}`));
  for (const named of [true, false]) {
    const one = scene('accept');
    const target = await startRecorder();
    const fence = await startFence(one, target.port, { transport: 'alertmanager' });
    const dialler = await dial(fence.port);
    await sendAll(dialler, all.slice(0, 10), false);
    await until('it to wait', () => one.doubts.waiting() === 1);
    await sendAll(dialler, all.slice(10), true);
    await pause(20);
    t.equal(one.doubts.waiting(), 1, 'nothing is read behind it');
    t.strictSame([fence.dials(), frames(one.reading())], [0, {}]);
    one.answer(...(named ? ['127.0.0.1'] : []));
    await until('the end', () => fence.streams.counts().inbound === 0);
    const verdict = named ? 'pass' : 'reject';
    t.strictSame(frames(one.reading()), { [`inbound alertmanager packet none ${verdict}`]: 20 });
    if (named) t.equal(await target.connections[0]?.ended(), 'fin');
    t.strictSame(target.connections[0]?.received(), named ? Buffer.concat(all) : undefined);
    await fence.close();
    await target.close();
  }
});

t.test("Alertmanager's packets: a whole frame that waits has arrived in time", async (t) => {
  const gossip = Buffer.from('\x08 in two parts');
  const frame = Buffer.from(encodeAlertmanagerFrame({ kind: 'packet', from: '127.0.0.1:9094', msg: gossip }));
  const one = scene('accept');
  const target = await startRecorder();
  const limits = { headerTimeoutMs: 200 };
  const fence = await startFence(one, target.port, { transport: 'alertmanager', limits });
  const dialler = await dial(fence.port);
  const labelled = marked('own', gossip);
  dialler.socket.write(encodeAlertmanagerFrame({ kind: 'packet', from: '127.0.0.1:9094', msg: labelled }));
  await until('the first to pass', () => target.connections[0]?.received().equals(frame) === true);
  dialler.socket.write(frame.subarray(0, 8));
  await pause(50);
  dialler.socket.write(frame.subarray(8));
  await until('the second to wait', () => one.doubts.waiting() === 1);
  await pause(400);
  t.equal(dialler.ending(), 'open', 'not cut for being late');
  one.answer('127.0.0.1');
  await until(
    'the second to pass',
    () => target.connections[0]?.received().equals(Buffer.concat([frame, frame])) === true,
  );
  fence.streams.stop();
  await fence.close();
  await target.close();
});
