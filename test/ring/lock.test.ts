import t from 'tap';
import { LOCK_STALE_MS, releaseLock, takeLock } from '../../src/ring/lock.ts';
import { createPeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { slotsFor } from '../../src/ring/records.ts';

const NOW = 1_800_000_000_000;
const OPTIONS = { peers: 2, windowMs: 600_000, foreignMs: 10_000 } as const;
const peer = (k: number) => new Uint8Array(16).fill(k);

t.test('a lock is had once, and again when it was released', async (t) => {
  const cells = new Int32Array(2);
  const token = takeLock(cells, 1, NOW);
  t.not(token, 0);
  t.equal(takeLock(cells, 1, NOW + 1), 0, 'spinning is bounded');
  releaseLock(cells, 1, token);
  t.strictSame([...cells], [0, 0]);
  t.not(takeLock(cells, 1, NOW + 1), 0);
});

t.test('the lock of a dead thread is taken over, that of a busy one is not', async (t) => {
  const cells = new Int32Array(1);
  const dead = takeLock(cells, 0, NOW);
  t.equal(takeLock(cells, 0, NOW + LOCK_STALE_MS), 0, 'not before its time');
  t.equal(takeLock(cells, 0, NOW - 60_000), 0, 'nor by one whose clock is behind');
  const heir = takeLock(cells, 0, NOW + LOCK_STALE_MS + 1);
  t.not(heir, 0);
  releaseLock(cells, 0, dead);
  t.equal(cells[0], heir, 'a late release of the dead one frees nothing');
  releaseLock(cells, 0, heir);
  t.equal(cells[0], 0);
});

t.test('a lock is taken over also when the clock of the tokens turns over', async (t) => {
  const turn = 2 ** 30;
  const end = Math.ceil(NOW / turn) * turn - 10;
  const cells = new Int32Array(1);
  t.not(takeLock(cells, 0, end), 0);
  t.equal(takeLock(cells, 0, end + 100), 0);
  t.not(takeLock(cells, 0, end + LOCK_STALE_MS + 1), 0);
});

t.test('a peer table whose lock is held drops what it would learn, counted, and still answers', async (t) => {
  const buffer = new SharedArrayBuffer(peerTableBytes(OPTIONS.peers));
  const table = createPeerTable(buffer, OPTIONS);
  table.learn(peer(1), 'own', NOW);
  takeLock(new Int32Array(buffer), 0, NOW);
  table.learn(peer(2), 'own', NOW + 1);
  t.equal(table.evictions(), 1);
  t.equal(table.recall(peer(2), NOW + 1).proven, false);
  t.equal(table.recall(peer(1), NOW + 1).proven, true, 'readers need no lock');
  table.learn(peer(2), 'own', NOW + LOCK_STALE_MS + 1);
  t.equal(table.recall(peer(2), NOW + LOCK_STALE_MS + 1).proven, true, 'a dead holder is replaced');
});

t.test('a record that a dead thread left half written is nothing, and is written anew', async (t) => {
  const buffer = new SharedArrayBuffer(peerTableBytes(OPTIONS.peers));
  const table = createPeerTable(buffer, OPTIONS);
  table.learn(peer(1), 'own', NOW);
  const ints = new Int32Array(buffer);
  const seqs = Array.from({ length: slotsFor(OPTIONS.peers) }, (_, slot) => 16 + slot * 24);
  const written = seqs.filter((cell) => ints[cell] !== 0);
  t.equal(written.length, 1, 'one record of 96 bytes after a header of 64');
  for (const cell of written) ints[cell] = (ints[cell] ?? 0) + 1;
  t.equal(table.recall(peer(1), NOW).proven, false);
  t.strictSame(table.records(NOW), []);
  table.learn(peer(1), 'none', NOW + 1);
  t.match(table.records(NOW + 1), [{ lastOwnMs: 0, lastNoneMs: NOW + 1 }]);
  t.equal(table.records(NOW + 1).length, 1);
});
