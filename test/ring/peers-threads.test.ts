import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { createPeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { HAMMERED, type HammerData, type HammerResult } from './hammer.ts';

const SCRIPT = new URL('./hammer.ts', import.meta.url);
const THREADS = 2;
const HAMMER_MS = 1_000;

t.test('two threads over one table never see a torn key, nor a time of another key', async (t) => {
  const buffer = new SharedArrayBuffer(peerTableBytes(HAMMERED.peers));
  const barrier = new SharedArrayBuffer(8);
  Atomics.store(new Int32Array(barrier), 1, THREADS);
  const workers = Array.from({ length: THREADS }, (_, i) => {
    const workerData: HammerData = { buffer, barrier, forMs: HAMMER_MS, seed: i + 1 };
    return new Worker(SCRIPT, { workerData });
  });
  t.teardown(() => Promise.all(workers.map((worker) => worker.terminate())));
  const results = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0] as HammerResult));
  for (const { writes, reads, wrong } of results) {
    t.strictSame(wrong, []);
    t.ok(writes > 1_000 && reads > 1_000, `${writes} writes, ${reads} reads`);
  }
  const table = createPeerTable(buffer, HAMMERED);
  t.ok(table.evictions() > 100, `${table.evictions()} evictions: the keys fought for the slots`);
  t.equal(new Int32Array(buffer)[0], 0, 'the lock is free');
});
