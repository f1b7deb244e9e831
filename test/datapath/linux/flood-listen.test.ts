/** The flood guard on the socket of a listen fence, in this machine's kernel: who gets through, and that every packet is accounted for. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { createFloodGuard } from '../../../src/datapath/linux/flood-guard.ts';
import { openListenPackets } from '../../../src/datapath/linux/listen-packets.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';
import { NO_ADMISSION_RULES, parseCidr } from '../../../src/policy/admission.ts';
import { createTally, type DropReason, TALLY_BYTES } from '../../../src/policy/tally.ts';
import { readTallies } from '../../../src/policy/tally-reading.ts';
import { MESSAGE, marked } from '../cases.ts';
import { LIMITS, makeContext, OWN, until } from '../harness.ts';
import { type Datagrams, startUdp } from '../listen-kit.ts';

const PER_SECOND = 200;
const ADMITTED = '127.0.0.1';
const STRANGER = '127.0.0.9';
const MANY = 500;
const SWITCHES = 20;
const HELD_UP_MS = 300;

async function guarded() {
  const calls = await loadSyscalls();
  const cidrs = [parseCidr(ADMITTED) as NonNullable<ReturnType<typeof parseCidr>>];
  const made = makeContext({ stage: 'accept' }, cidrs);
  const tallyBuffer = new ArrayBuffer(TALLY_BYTES);
  const context = { ...made.context, tally: createTally(tallyBuffer) };
  const loop = new Loop(calls, () => performance.now());
  const app = await startUdp();
  const packets = openListenPackets({
    context,
    calls,
    loop,
    batches: createDatagramBatches(calls),
    listen: { address: '127.0.0.1', port: 0 },
    app: { address: '127.0.0.1', port: app.port },
    limits: LIMITS,
  });
  const rules = (stage: 'accept' | 'observe') => ({
    policy: { ...context.snapshot().settings, stage },
    admission: { ...NO_ADMISSION_RULES, cidrs },
    starting: false,
  });
  let active = false;
  let switched = 0;
  const guard = createFloodGuard({
    calls,
    timers: loop.timers,
    now: context.now,
    label: OWN,
    rules: rules('accept'),
    packetsPerSecond: PER_SECOND,
    loopbackPasses: false,
    tallyBuffer,
    tally: context.tally,
    onActive: (on) => {
      active = on;
      switched++;
    },
    onFault: context.onFault,
    // What other programs of this machine overflow is no part of this.
    overflows: () => 0,
  });
  guard.watch([packets.fd]);
  const reading = () => readTallies([tallyBuffer]);
  return {
    app,
    made,
    packets,
    guard,
    rules,
    turn: () => loop.turn(0),
    active: () => active,
    switched: () => switched,
    judged: () => reading().frames.reduce((sum, { value }) => sum + value, 0),
    rejections: () => reading().rejected.reduce((sum, { value }) => sum + value, 0),
    drops: (wanted: DropReason) => reading().dropped.find(({ reason }) => reason === wanted)?.value ?? 0,
    stop() {
      guard.stop();
      packets.stop();
      loop.close();
      app.socket.close();
    },
  };
}

t.test('under a flood', async (t) => {
  const fence = await guarded();
  const { app, made, packets, guard, rules, turn, active, rejections, drops } = fence;
  const [member, stranger] = await Promise.all([startUdp(ADMITTED), startUdp(STRANGER)]);
  t.teardown(() => {
    fence.stop();
    for (const { socket } of [member, stranger]) socket.close();
  });
  const send = (from: Datagrams, bytes: Buffer) =>
    new Promise<void>((resolve) => from.socket.send(bytes, packets.at.port, '127.0.0.1', () => resolve()));
  const turnUntil = (what: string, condition: () => boolean) =>
    until(what, () => {
      turn();
      return condition();
    });
  let foreign = 0;
  await until('the guard', () => {
    for (let i = 0; i < 20; i++) void send(stranger, marked('foreign', MESSAGE));
    foreign += 20;
    turn();
    return active();
  });
  await turnUntil('those before it', () => rejections() + drops('kernel_filter') === foreign);
  t.match(made.faults, [{ code: 'flood_guard_on' }]);
  const before = rejections();
  for (let i = 0; i < MANY; i++) {
    await send(stranger, marked('foreign', MESSAGE));
    await send(stranger, MESSAGE);
    if (i % 10 === 0) await send(stranger, marked('own', MESSAGE));
    if (i % 10 === 0) await send(member, MESSAGE);
    if (i % 50 === 0) turn();
  }
  await turnUntil('what may pass', () => app.got.length === 2 * (MANY / 10));
  await turnUntil('the rest', () => rejections() - before + drops('kernel_filter') >= 2 * MANY);
  t.equal(rejections() + drops('kernel_filter'), foreign + 2 * MANY, 'each is counted once');
  t.ok(rejections() - before < MANY / 10, `${rejections() - before} of ${2 * MANY} came through the sampling hole`);
  t.equal(drops('socket_overflow'), 0);

  guard.takeRules(rules('observe'));
  t.notOk(active());
  const [sampled, filtered] = [rejections(), drops('kernel_filter')];
  for (let i = 0; i < 20; i++) await send(stranger, marked('foreign', MESSAGE));
  await turnUntil('them at the fence', () => rejections() === sampled + 20);
  t.equal(drops('kernel_filter'), filtered, 'nothing is dropped once the rules are taken');
});

/** A flood from another process: foreign datagrams until its stdin ends; then it says how many the kernel took. */
const FLOODER = `
const socket = require('node:dgram').createSocket('udp4');
const [port, hex] = process.argv.slice(1);
const bytes = Buffer.from(hex, 'hex');
let sent = 0;
let over = false;
socket.bind(0, '127.0.0.9', () => socket.connect(Number(port), '127.0.0.1', burst));
process.stdin.on('end', () => { over = true; }).resume();
function burst() {
  let left = 20;
  for (let i = 0; i < 20; i++) {
    socket.send(bytes, (error) => {
      if (!error) sent++;
      if (--left > 0) return;
      if (over) process.stdout.write(String(sent), () => process.exit());
      else setImmediate(burst);
    });
  }
}`;

t.test('each datagram of a flood is counted once, however often the guard goes on and off meanwhile', async (t) => {
  const fence = await guarded();
  const { packets, guard, rules, turn, judged, drops } = fence;
  const child = spawn(process.execPath, [
    '-e',
    FLOODER,
    String(packets.at.port),
    marked('foreign', MESSAGE).toString('hex'),
  ]);
  t.teardown(() => {
    child.kill('SIGKILL');
    fence.stop();
  });
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    told += text;
  });
  for (let i = 0; i < SWITCHES; i++) {
    await until('the guard', () => {
      turn();
      return fence.active();
    });
    const endMs = performance.now() + 30 * (i % 3);
    await until('its time', () => {
      turn();
      return performance.now() >= endMs;
    });
    guard.takeRules(rules('observe'));
    t.notOk(fence.active());
    turn();
    guard.takeRules(rules('accept'));
    // A thread that is held up: the receive buffer overflows.
    if (i % 4 === 3) await sleep(HELD_UP_MS);
  }
  child.stdin.end();
  await once(child, 'close');
  const sent = Number(told);
  const counted = () => judged() + drops('kernel_filter') + drops('socket_overflow');
  await until('all of it', () => {
    turn();
    return counted() >= sent;
  });
  for (let i = 0; i < 10; i++) turn();
  guard.stop();
  t.equal(counted(), sent);
  t.ok(fence.switched() >= 2 * SWITCHES, `${fence.switched()} times on or off`);
  t.ok(drops('kernel_filter') > 0, `${drops('kernel_filter')} by the filter`);
  t.ok(drops('socket_overflow') > 0, `${drops('socket_overflow')} by a full buffer`);
});
