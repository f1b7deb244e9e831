/** The guard over stand-in system calls: when the filter is there, which one, and how drops are counted. */
import t from 'tap';
import type { FenceRules, Rejection } from '../../../src/datapath/engine.ts';
import { INSTRUCTION_BYTES } from '../../../src/datapath/linux/classic-bpf.ts';
import { createFloodGuard, LOOK_MS } from '../../../src/datapath/linux/flood-guard.ts';
import { QUIET_MS } from '../../../src/datapath/linux/flood-meter.ts';
import { LISTED_REJECTIONS } from '../../../src/datapath/linux/flood-sources.ts';
import { SO_ATTACH_FILTER, SO_DETACH_FILTER, SystemError } from '../../../src/datapath/linux/syscalls.ts';
import { createTimerQueue } from '../../../src/datapath/timers.ts';
import { NO_ADMISSION_RULES, parseCidr } from '../../../src/policy/admission.ts';
import type { Stage } from '../../../src/policy/stage.ts';
import { createTally, TALLY_BYTES } from '../../../src/policy/tally.ts';
import { readTallies } from '../../../src/policy/tally-reading.ts';
import { letsIn } from './bpf-kit.ts';

const SOCKETS = [5, 6];
const LIMIT = 1_000;
const FLOOD = 10 * LIMIT;
const OWN = Buffer.from('own');
const WHERE = { direction: 'inbound', transport: 'native', kind: 'packet' } as const;

const rules = (stage: Stage, more: Partial<FenceRules['admission']> = {}, starting = false): FenceRules => ({
  policy: { stage, sends: 'none', takes: 'none', wire: 'none', unterminatedTls: 'reject', shield: true },
  admission: { ...NO_ADMISSION_RULES, ...more },
  starting,
});

function harness({ first = rules('enforce'), limit = LIMIT, largest = Number.POSITIVE_INFINITY, counts = true } = {}) {
  let nowMs = 0;
  let program: Buffer = Buffer.alloc(0);
  const filters = new Map<number, Buffer>();
  const drops = new Map(SOCKETS.map((fd) => [fd, 0xffff_ff00]));
  const log: string[] = [];
  let overflows = 0;
  let bound = largest;
  let active = false;
  const calls = {
    address(buffer: Uint8Array) {
      program = Buffer.from(buffer);
      return 1n;
    },
    setBytes(fd: number, _level: number, option: number, value: Uint8Array) {
      if (option === SO_DETACH_FILTER) {
        if (!filters.delete(fd)) throw new SystemError('setsockopt', 'ENOENT');
        return;
      }
      t.equal(option, SO_ATTACH_FILTER);
      const size = Buffer.from(value).readUInt16LE();
      t.equal(size * INSTRUCTION_BYTES, program.length);
      if (size > bound) throw new SystemError('setsockopt', 'ENOMEM');
      filters.set(fd, program);
    },
    getBytes(fd: number, _level: number, _option: number, into: Uint8Array) {
      Buffer.from(into.buffer, into.byteOffset).writeUInt32LE(drops.get(fd) ?? 0, 32);
      return counts ? 36 : undefined;
    },
  };
  const tallyBuffer = new ArrayBuffer(TALLY_BYTES);
  const tally = createTally(tallyBuffer);
  const timers = createTimerQueue(() => nowMs);
  const guard = createFloodGuard({
    calls,
    timers,
    now: () => nowMs,
    label: OWN,
    rules: first,
    packetsPerSecond: limit,
    loopbackPasses: true,
    tallyBuffer,
    tally,
    onActive: (on) => {
      active = on;
    },
    onFault: ({ code }) => log.push(code),
    overflows: () => overflows,
  });
  guard.watch(SOCKETS);
  return {
    guard,
    filters,
    log,
    timers,
    nowMs: () => nowMs,
    active: () => active,
    /** Packets of strangers for a while: the filter takes them while it is there, otherwise they are rejected. */
    run(ms: number, perSecond: number) {
      for (const endMs = nowMs + ms; nowMs < endMs; ) {
        for (let i = 0; i < (perSecond * LOOK_MS) / 1_000; i++) {
          const fd = SOCKETS[i % 2] as number;
          if (filters.has(fd)) drops.set(fd, ((drops.get(fd) as number) + 1) % 2 ** 32);
          else {
            tally.cut(WHERE, 'label_foreign');
            guard.rejected({
              ...WHERE,
              labelState: 'foreign',
              peer: { address: '10.9.9.9', port: 1 },
              atMs: nowMs,
            } as Rejection);
          }
        }
        nowMs += LOOK_MS;
        timers.run(nowMs);
      }
    },
    refuseAll() {
      bound = 0;
    },
    overflow(count: number) {
      drops.set(5, ((drops.get(5) as number) + count) % 2 ** 32);
      overflows += count;
    },
    overflowElsewhere(count: number) {
      overflows += count;
    },
    bare(address: string, count: number) {
      const rejection = { ...WHERE, labelState: 'none', peer: { address, port: 1 }, atMs: nowMs } as Rejection;
      for (let i = 0; i < count; i++) guard.rejected(rejection);
    },
    dropped: () => Object.fromEntries(readTallies([tallyBuffer]).dropped.map(({ reason, value }) => [reason, value])),
    letsIn: (payload: string, source: string) =>
      SOCKETS.every((fd) => {
        const filter = filters.get(fd);
        const seen = { payload: Buffer.from(payload, 'latin1'), interfaceIndex: 2, random: 0xffff_ffff };
        return filter === undefined || letsIn(filter, { ...seen, source: Buffer.from(source.split('.').map(Number)) });
      }),
  };
}

t.test('on by the rate, off once it is quiet, and every drop counted', async (t) => {
  const { run, filters, log, active, dropped } = harness();
  run(10_000, LIMIT - 100);
  t.equal(filters.size, 0);
  run(LOOK_MS, FLOOD);
  t.strictSame([...filters.keys()], SOCKETS, 'on every socket');
  t.ok(active());
  run(60_000, FLOOD);
  t.strictSame(log, ['flood_guard_on'], 'said once');
  run(QUIET_MS + LOOK_MS, 0);
  t.equal(filters.size, 0);
  t.notOk(active());
  t.strictSame(log, ['flood_guard_on', 'flood_guard_off']);
  t.match(dropped(), { kernel_filter: FLOOD * 60, socket_overflow: 0 }, "across the wrap of the kernel's count");
});

t.test('what a full buffer lost is told apart', async (t) => {
  const { run, overflow, dropped } = harness();
  overflow(100);
  run(1_000, 0);
  t.match(dropped(), { kernel_filter: 0, socket_overflow: 100 }, 'without a filter it is all that');
  run(LOOK_MS, FLOOD);
  overflow(30);
  run(1_000, FLOOD);
  t.match(dropped(), { kernel_filter: FLOOD, socket_overflow: 130 });
});

t.test('a flood goes on, whatever overflows elsewhere in the namespace', async (t) => {
  const { run, overflowElsewhere, log, dropped } = harness();
  run(LOOK_MS, FLOOD);
  for (let i = 0; i < 200; i++) {
    overflowElsewhere(FLOOD);
    run(LOOK_MS, FLOOD);
  }
  t.strictSame(log, ['flood_guard_on']);
  t.equal(dropped()['socket_overflow'], FLOOD * 20, 'though it cannot be told apart');
});

t.test('new rules are followed before takeRules returns', async (t) => {
  const { run, guard, filters, log, letsIn, active } = harness();
  run(LOOK_MS, FLOOD);
  t.notOk(letsIn('bare', '10.0.0.1'), 'at enforce nothing bare passes');
  t.ok(letsIn('\xf4\x03ownbody', '10.0.0.1'));
  const cidrs = [parseCidr('10.0.0.0/8') as NonNullable<ReturnType<typeof parseCidr>>];
  guard.takeRules(rules('accept', { cidrs }));
  t.ok(letsIn('bare', '10.0.0.1'), 'at accept it does from an admitted address');
  t.notOk(letsIn('bare', '192.0.2.1'));
  guard.takeRules(rules('accept'));
  t.ok(letsIn('bare', '192.0.2.1'), 'and from everybody where there are no rules');
  t.notOk(letsIn('\xf4\x05otherbody', '10.0.0.1'));
  guard.takeRules(rules('accept', {}, true));
  t.equal(filters.size, 0, 'while the stage is not known everything waits');
  run(LOOK_MS, FLOOD);
  guard.takeRules(rules('observe'));
  t.equal(filters.size, 0);
  t.notOk(active());
  t.strictSame(log.slice(0, 2), ['flood_guard_on', 'flood_guard_off']);
});

t.test('where DNS may name anybody, who floods is dropped by address, until it is admitted', async (t) => {
  const { run, guard, bare, letsIn } = harness({ first: rules('accept', { byDns: true }) });
  bare('10.0.0.1', LISTED_REJECTIONS);
  bare('10.0.0.2', 1);
  run(LOOK_MS, FLOOD);
  t.notOk(letsIn('bare', '10.0.0.1'));
  t.ok(letsIn('bare', '10.0.0.2'));
  bare('10.0.0.3', LISTED_REJECTIONS);
  run(2_000, FLOOD);
  t.notOk(letsIn('bare', '10.0.0.3'), 'the list follows');
  guard.takeRules(rules('accept', { byDns: true, dns: ['10.0.0.1'] }));
  t.ok(letsIn('bare', '10.0.0.1'));
  t.notOk(letsIn('bare', '10.0.0.3'));
});

t.test('what the kernel refuses', async (t) => {
  const small = harness({ first: rules('accept', { byDns: true }), largest: 60 });
  for (let i = 0; i < 200; i++) small.bare(`10.0.1.${i}`, LISTED_REJECTIONS);
  small.run(LOOK_MS, FLOOD);
  t.notOk(small.letsIn('\xf4\x05otherbody', '10.0.0.1'), 'a smaller filter is better than none');
  t.ok(small.letsIn('bare', '10.0.1.1'));
  const none = harness({ largest: 0 });
  none.run(10 * LOOK_MS, FLOOD);
  t.equal(none.filters.size, 0);
  t.strictSame(none.log, ['flood_filter'], 'it says so once, though it is asked at every look');
  t.notOk(none.active());
  const blind = harness({ counts: false });
  blind.run(10_000, FLOOD);
  t.equal(blind.filters.size, 0, 'a kernel that counts no drops could not tell when a flood ends');
});

t.test('a filter that the kernel refuses later leaves none, and the guard says that it is off', async (t) => {
  const guarded = harness({ first: rules('accept', { byDns: true }) });
  guarded.run(LOOK_MS, FLOOD);
  t.ok(guarded.active());
  guarded.refuseAll();
  guarded.bare('192.0.2.1', LISTED_REJECTIONS);
  guarded.run(10 * LOOK_MS, LIMIT / 2);
  t.equal(guarded.filters.size, 0);
  t.notOk(guarded.active(), 'as the status says');
  t.strictSame(guarded.log, ['flood_guard_on', 'flood_filter', 'flood_guard_off']);
});

t.test('back at observe, where everything passes, nothing is dropped any more', async (t) => {
  const { run, guard, filters, active, letsIn } = harness();
  run(LOOK_MS, FLOOD);
  t.notOk(letsIn('\xf4\x05otherbody', '10.0.0.1'));
  guard.takeRules(rules('observe'));
  t.ok(letsIn('\xf4\x05otherbody', '10.0.0.1'));
  t.equal(filters.size, 0);
  t.notOk(active());
});

t.test(
  'while nothing is rejected it looks as seldom as it counts, and a flood after hours of that is met as soon as any',
  async (t) => {
    const { run, timers, active, guard, nowMs } = harness();
    const dueMs = () => (timers.nextMs() ?? 0) - nowMs();
    run(3_600_000, 0);
    t.ok(dueMs() > LOOK_MS, `${dueMs()} ms to the next look`);
    run(LOOK_MS, FLOOD);
    t.ok(active());
    run(QUIET_MS + 2 * LOOK_MS, 0);
    t.ok(dueMs() > LOOK_MS, 'calm again');
    guard.stop();
    t.equal(timers.nextMs(), undefined, 'no timer stays');
    run(LOOK_MS, LIMIT / 2);
    t.equal(timers.nextMs(), undefined, 'nor comes one of a rejection afterwards');
  },
);

t.test('turned off, and stopped', async (t) => {
  const off = harness({ limit: 0 });
  off.run(10_000, FLOOD);
  t.equal(off.filters.size, 0);
  const { run, guard, filters, timers, active, dropped, overflow } = harness();
  run(LOOK_MS, FLOOD);
  run(LOOK_MS, FLOOD);
  overflow(3);
  guard.stop();
  t.equal(filters.size, 0);
  t.notOk(active());
  t.equal(timers.nextMs(), undefined, 'no timer stays');
  t.match(dropped(), { kernel_filter: (FLOOD * LOOK_MS) / 1_000, socket_overflow: 3 });
  guard.stop();
});

t.test('what says nothing about an unlabelled flooder', async (t) => {
  const { guard, run, letsIn } = harness({ first: rules('accept', { byDns: true }) });
  const one = { ...WHERE, labelState: 'none', peer: { address: '10.0.0.1', port: 1 }, atMs: 0 } as Rejection;
  for (let i = 0; i < 1_000; i++) {
    guard.rejected({ ...one, labelState: 'foreign' });
    guard.rejected({ ...one, direction: 'outbound' });
    guard.rejected({ ...one, kind: 'stream' });
    guard.rejected({ ...one, wouldRejectAt: 'accept' });
  }
  run(LOOK_MS, FLOOD);
  t.ok(letsIn('bare', '10.0.0.1'));
});
