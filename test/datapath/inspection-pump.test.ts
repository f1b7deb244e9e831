/** What inspection may take of the thread, and in which order, with a hand-wound clock. */
import t from 'tap';
import { BUSY_SHARE, createPump, type Pump, TURN_MS } from '../../src/datapath/inspection-pump.ts';
import { createMemoryLane, type Lane } from '../../src/datapath/inspection-queue.ts';
import { manualHost, source } from './inspection-kit.ts';

/** A lane that never runs dry. */
function flood(bytes: number): Lane & { taken: number } {
  const lane = {
    taken: 0,
    waiting: () => true,
    take() {
      lane.taken++;
      return { type: 'packet', source: source(), bytes: Buffer.alloc(bytes) } as const;
    },
    skipped: () => ({}),
  };
  return lane;
}

t.test('under load it takes its share and no more; a long piece is paid back', async (t) => {
  for (const pieceMs of [0.01, 1, 40]) {
    const host = manualHost();
    const pump = createPump(host);
    let spentMs = 0;
    let longestMs = 0;
    let turnMs = 0;
    let lastEndMs = -1;
    pump.add({
      lanes: [flood(100)],
      bytesPerSecond: 1e9,
      inspect() {
        turnMs = host.now() === lastEndMs ? turnMs + pieceMs : pieceMs;
        host.spend(pieceMs);
        lastEndMs = host.now();
        spentMs += pieceMs;
        longestMs = Math.max(longestMs, turnMs);
      },
    });
    host.pass(20_000, true);
    const share = spentMs / host.now();
    t.ok(share < BUSY_SHARE * 1.2, `${pieceMs} ms a piece: ${(share * 100).toFixed(1)}% under load`);
    t.ok(share > BUSY_SHARE * 0.5, 'and it is used');
    t.ok(longestMs <= TURN_MS + pieceMs, `no turn over its bound by more than a piece: ${longestMs} ms`);
  }
});

t.test('on a crowded machine it takes its share of what the thread gets, not of the clock', async (t) => {
  const host = manualHost();
  const pump = createPump(host);
  let spentMs = 0;
  pump.add({
    lanes: [flood(100)],
    bytesPerSecond: 1e9,
    inspect() {
      host.spend(0.05);
      spentMs += 0.05;
    },
  });
  for (let i = 0; i < 2_000; i++) {
    host.starve(20);
    host.pass(5, true);
  }
  const share = spentMs / host.cpuMs();
  t.ok(share < BUSY_SHARE * 1.2 && share > BUSY_SHARE * 0.5, `${(share * 100).toFixed(1)}% of its time on a core`);
});

/** The part of ten seconds, in which `host` itself has nothing else to do, that `pump` spends on a flood. */
function shareUnderFlood(host: ReturnType<typeof manualHost>, pump: Pump): number {
  let spentMs = 0;
  pump.add({
    lanes: [flood(100)],
    bytesPerSecond: 1e9,
    inspect() {
      host.spend(0.1);
      spentMs += 0.1;
    },
  });
  host.pass(10_000);
  return spentMs / host.now();
}

t.test('an idle thread is used further', async (t) => {
  const host = manualHost();
  const share = shareUnderFlood(host, createPump(host));
  t.ok(share > 3 * BUSY_SHARE && share < 0.5, `${(share * 100).toFixed(1)}%`);
});

t.test('a thread that is idle while another of the process runs takes no more than its share', async (t) => {
  const host = manualHost();
  // Whatever this thread leaves of the time, another one runs.
  const share = shareUnderFlood(host, createPump({ ...host, cpuMs: host.now }));
  t.ok(share < BUSY_SHARE * 1.2 && share > BUSY_SHARE * 0.5, `${(share * 100).toFixed(1)}% of the process's time`);
});

t.test('bytes have a budget for each fence', async (t) => {
  const host = manualHost();
  const pump = createPump(host);
  const counts = [0, 0];
  const fence = (i: number, bytesPerSecond: number) => ({
    lanes: [flood(936)],
    bytesPerSecond,
    inspect() {
      counts[i] = (counts[i] ?? 0) + 1_000;
    },
  });
  pump.add(fence(0, 100_000));
  const remove = pump.add(fence(1, 20_000));
  host.pass(10_000);
  // The first second's is there at the start, and a turn may end in the red by one piece.
  t.ok(Math.abs((counts[0] ?? 0) - 1_100_000) < 20_000, `${counts[0]}`);
  t.ok(Math.abs((counts[1] ?? 0) - 220_000) < 20_000, `${counts[1]}`);
  remove();
  const before = counts[1];
  host.pass(5_000);
  t.equal(counts[1], before, 'a fence that was removed is left alone');
});

t.test('a flood on one lane leaves the others their part, small frames or large', async (t) => {
  for (const bytes of [10, 60_000]) {
    const host = manualHost();
    const lanes = [flood(bytes), createMemoryLane(1e6, () => undefined)] as const;
    let own = 0;
    let waitedMs = 0;
    createPump(host).add({
      lanes,
      bytesPerSecond: 1e9,
      inspect(piece) {
        host.spend(0.02);
        if (piece.type !== 'packet' || piece.source.atMs === 1_000.5) return;
        own++;
        waitedMs = Math.max(waitedMs, host.now() - piece.source.atMs);
      },
    });
    for (let i = 0; i < 500; i++) {
      lanes[1].packet(source({ atMs: host.now() }), Buffer.alloc(200));
      host.pass(20, true);
    }
    host.pass(1_000, true);
    t.equal(own, 500, 'all of the quiet lane');
    t.ok(waitedMs < 200, `the longest wait was ${waitedMs.toFixed(0)} ms`);
    t.ok(lanes[0].taken > 1_000);
  }
});

t.test('what comes from another thread waits for the next look, unless it is urgent', async (t) => {
  const host = manualHost();
  const pump = createPump(host);
  const other = createMemoryLane(1e6, () => undefined);
  let atMs = 0;
  pump.add({
    lanes: [other],
    bytesPerSecond: 1e6,
    inspect() {
      atMs = host.now();
    },
  });
  const waitedMs = (urgent: boolean) => {
    host.pass(1_000);
    const sentMs = host.now();
    other.packet(source(), Buffer.alloc(10));
    if (urgent) pump.wake();
    host.pass(1_000);
    return atMs - sentMs;
  };
  const waits = Array.from({ length: 20 }, () => waitedMs(false));
  t.ok(
    waits.every((ms) => ms > 0 && ms <= 500),
    `${waits}`,
  );
  t.ok(waitedMs(true) <= 10);
});

t.test('what is queued is looked at soon, and silence costs next to nothing', async (t) => {
  const host = manualHost();
  const pump = createPump(host);
  const lane = createMemoryLane(1e6, () => pump.wake());
  let looks = 0;
  let atMs = 0;
  const counting: Lane = {
    waiting() {
      looks++;
      return lane.waiting();
    },
    take: lane.take,
    skipped: lane.skipped,
  };
  pump.add({
    lanes: [counting],
    bytesPerSecond: 1e6,
    inspect() {
      atMs = host.now();
    },
  });
  host.pass(10_000);
  t.ok(looks < 30, `${looks} looks in ten silent seconds`);
  const sentMs = host.now();
  lane.packet(source(), Buffer.alloc(10));
  host.pass(100);
  t.ok(atMs - sentMs <= 10, `${atMs - sentMs} ms`);
});
