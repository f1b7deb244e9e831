/** The flood guard on the socket of a listen fence, in this machine's kernel: who gets through, and that every packet is accounted for. */
import t from 'tap';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { createFloodGuard } from '../../../src/datapath/linux/flood-guard.ts';
import { openListenPackets } from '../../../src/datapath/linux/listen-packets.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { loadSyscalls } from '../../../src/datapath/linux/syscalls.ts';
import { NO_ADMISSION_RULES, parseCidr } from '../../../src/policy/admission.ts';
import { createTally, TALLY_BYTES } from '../../../src/policy/tally.ts';
import { readTallies } from '../../../src/policy/tally-reading.ts';
import { MESSAGE, marked } from '../cases.ts';
import { LIMITS, makeContext, OWN, until } from '../harness.ts';
import { type Datagrams, startUdp } from '../listen-kit.ts';

const PER_SECOND = 200;
const ADMITTED = '127.0.0.1';
const STRANGER = '127.0.0.9';
const MANY = 500;

t.test('under a flood', async (t) => {
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
    },
    onFault: context.onFault,
    // What other programs of this machine overflow is no part of this.
    overflows: () => 0,
  });
  guard.watch([packets.fd]);
  const [member, stranger] = await Promise.all([startUdp(ADMITTED), startUdp(STRANGER)]);
  t.teardown(() => {
    guard.stop();
    packets.stop();
    loop.close();
    for (const { socket } of [app, member, stranger]) socket.close();
  });
  const send = (from: Datagrams, bytes: Buffer) =>
    new Promise<void>((resolve) => from.socket.send(bytes, packets.at.port, '127.0.0.1', () => resolve()));
  const turnUntil = (what: string, condition: () => boolean) =>
    until(what, () => {
      loop.turn(0);
      return condition();
    });
  const rejections = () => readTallies([tallyBuffer]).rejected.reduce((sum, { value }) => sum + value, 0);
  const drops = (wanted: string) =>
    readTallies([tallyBuffer]).dropped.reduce((sum, { reason, value }) => sum + (reason === wanted ? value : 0), 0);

  let foreign = 0;
  await until('the guard', () => {
    for (let i = 0; i < 20; i++) void send(stranger, marked('foreign', MESSAGE));
    foreign += 20;
    loop.turn(0);
    return active;
  });
  await turnUntil('those before it', () => rejections() + drops('kernel_filter') === foreign);
  t.match(made.faults, [{ code: 'flood_guard_on' }]);
  const before = rejections();
  for (let i = 0; i < MANY; i++) {
    await send(stranger, marked('foreign', MESSAGE));
    await send(stranger, MESSAGE);
    if (i % 10 === 0) await send(stranger, marked('own', MESSAGE));
    if (i % 10 === 0) await send(member, MESSAGE);
    if (i % 50 === 0) loop.turn(0);
  }
  await turnUntil('what may pass', () => app.got.length === 2 * (MANY / 10));
  await turnUntil('the rest', () => rejections() - before + drops('kernel_filter') >= 2 * MANY);
  t.equal(rejections() + drops('kernel_filter'), foreign + 2 * MANY, 'each is counted once');
  t.ok(rejections() - before < MANY / 10, `${rejections() - before} of ${2 * MANY} came through the sampling hole`);
  t.equal(drops('socket_overflow'), 0);

  guard.takeRules(rules('observe'));
  t.notOk(active);
  const [sampled, filtered] = [rejections(), drops('kernel_filter')];
  for (let i = 0; i < 20; i++) await send(stranger, marked('foreign', MESSAGE));
  await turnUntil('them at the fence', () => rejections() === sampled + 20);
  t.equal(drops('kernel_filter'), filtered, 'nothing is dropped once the rules are taken');
});
