import t from 'tap';
import { encryptionNotes, encryptionStatus, sealedOf } from '../../src/admin/seal-status.ts';
import type { SealedPeer } from '../../src/ring/seals.ts';

const peer = (change: Partial<SealedPeer>): SealedPeer => ({
  ...{ address: '10.0.0.5', frames: 'labelled', byApp: 'unknown', byPeer: 'unknown', state: 'unknown', lastMs: 1 },
  ...change,
});
const APART = peer({ byApp: 'refused', state: 'apart' });
const view = (sealed: readonly SealedPeer[], keys = 0, reseal = false, problem?: string) => ({
  sealedPeers: () => sealed,
  encryption: { keys: () => keys, reseal, problem: () => problem },
});

t.test('counts, and the peers that are apart in words', async (t) => {
  const others = [peer({ state: 'together' }), peer({ state: 'together' }), peer({})];
  const status = encryptionStatus(view([APART, ...others]));
  t.match(status, { keys: 0, reseal: false, problem: null, peers: { together: 2, apart: 1, unknown: 1 } });
  t.match(status.apart, [
    /^encrypted gossip: the app could not open what 10\.0\.0\.5 sealed; .* there are no keys here/,
  ]);
  t.equal(encryptionStatus(view(Array.from({ length: 50 }, () => APART))).apart.length, 20, 'bounded');
  t.match(encryptionStatus(view([], 2, true, 'k: no such file')), {
    keys: 2,
    reseal: true,
    problem: 'k: no such file',
  });
});

t.test('notes: nothing while all is well, what is known as known, and the rest as unknown', async (t) => {
  t.strictSame(encryptionNotes(view([])), []);
  t.strictSame(encryptionNotes(view([peer({ state: 'together' })])), []);
  t.match(encryptionNotes(view([APART])), [/^1 peer is apart from the app .*: it has another key, or .* no keys here/]);
  t.match(encryptionNotes(view([APART, APART], 1)), [/^2 peers are apart .* \(encryption\.reseal is off\)\.$/]);
  t.match(encryptionNotes(view([APART], 1, true)), [/another key than this fence and its app\.$/]);
  t.match(encryptionNotes(view([peer({})])), [
    /^Whether the app and 1 peers? can open .* is unknown: no telling answer/,
  ]);
  t.strictSame(encryptionNotes(view([peer({})], 1)), [], 'the keys tell');
  t.match(encryptionNotes(view([], 1, false, 'k: no such file')), [/read before stay in use: k: no such file\.$/]);
});

t.test('the row of an address', async (t) => {
  const rowOf = sealedOf(view([peer({ frames: undefined, byPeer: 'opened', state: 'together' })]));
  t.strictSame(rowOf('10.0.0.5'), { state: 'together', byApp: 'unknown', byPeer: 'opened', frames: null });
  t.equal(rowOf('10.0.0.6'), null);
});
