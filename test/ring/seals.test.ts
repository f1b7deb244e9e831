import fc from 'fast-check';
import t from 'tap';
import { createSeals, type SealedPeer } from '../../src/ring/seals.ts';
import type { FrameSource } from '../../src/ring/source.ts';

const WINDOW_MS = 60_000;
const REFUSED = Uint8Array.of(10, 0, 0, 0, 0x6a, 1, 2, 3);
const OPENED = Uint8Array.of(10, 0, 0, 4, 0, 1, 2, 3);
const TOLD_NOTHING = Uint8Array.of(10, 0, 0, 0, 50, 1);
const SEALED_PACKET = Uint8Array.from({ length: 60 }, (_, i) => (i === 0 ? 1 : (i * 37) & 0x7f));
const PING = Buffer.from('0082a55365714e6f07a44e6f6465a178', 'hex');

const BASE: FrameSource = {
  ...{ atMs: 1_000, direction: 'inbound', transport: 'native', kind: 'stream', labelState: 'own' },
  ...{ peer: { address: '10.0.0.5', port: 7946 }, label: Buffer.from('a'), rejected: false, answer: false },
};

function watch(peers = 16) {
  const apart: SealedPeer[] = [];
  const seals = createSeals({ peers, windowMs: WINDOW_MS, onApart: (peer) => apart.push(peer) });
  const stream = (more: Partial<FrameSource>, bytes: Uint8Array) => seals.stream({ ...BASE, ...more }).push(bytes);
  const packet = (more: Partial<FrameSource>, bytes: Uint8Array) =>
    seals.packet({ ...BASE, kind: 'packet', ...more }, bytes);
  return { seals, apart, stream, packet, one: (nowMs = 1_000) => seals.peers(nowMs)[0] };
}

t.test('what the answers say, and by whom', async (t) => {
  const cases: [string, Partial<FrameSource>, Uint8Array, Partial<SealedPeer>][] = [
    ['the app refused', { answer: true }, REFUSED, { byApp: 'refused', byPeer: 'unknown', state: 'apart' }],
    ['the peer refused', { answer: true, direction: 'outbound' }, REFUSED, { byPeer: 'refused', state: 'apart' }],
    ['the app opened', { answer: true }, OPENED, { byApp: 'opened', state: 'together' }],
    ['the peer opened', { answer: true, direction: 'outbound' }, OPENED, { byPeer: 'opened', state: 'together' }],
    ['a labelled request alone', {}, OPENED, { frames: 'labelled', byApp: 'unknown', state: 'unknown' }],
    ['an unlabelled one', { labelState: 'none' }, OPENED, { frames: 'unlabelled', state: 'unknown' }],
  ];
  for (const [name, more, bytes, expected] of cases) {
    const { one, stream } = watch();
    t.notOk(stream(more, bytes), `${name}: six bytes are enough`);
    t.match(one(), { address: '10.0.0.5', ...expected }, name);
  }
});

t.test('what says nothing leaves no trace', async (t) => {
  const { seals, stream, packet } = watch();
  stream({ answer: true }, TOLD_NOTHING);
  stream({ direction: 'outbound' }, OPENED);
  stream({ rejected: true }, OPENED);
  stream({ rejected: true, answer: true }, REFUSED);
  stream({ labelState: 'foreign' }, OPENED);
  stream({}, Uint8Array.of(6, 1, 2, 3, 4, 5));
  t.ok(stream({}, Uint8Array.of(10, 0, 0, 0, 1)), 'not yet');
  packet({ direction: 'outbound' }, SEALED_PACKET);
  packet({ labelState: 'foreign' }, SEALED_PACKET);
  packet({}, PING);
  t.strictSame(seals.peers(1_000), []);
});

t.test('sealed packets show where they stood', async (t) => {
  const { one, packet } = watch();
  packet({}, SEALED_PACKET);
  t.match(one(), { frames: 'labelled', state: 'unknown' });
  packet({ labelState: 'none' }, SEALED_PACKET);
  t.match(one(), { frames: 'both', state: 'unknown' });
});

t.test('being apart is said once, again after it was over, and evidence ends', async (t) => {
  const { seals, apart, stream, one } = watch();
  stream({ answer: true }, REFUSED);
  stream({ answer: true, atMs: 2_000 }, REFUSED);
  stream({ answer: true, direction: 'outbound', atMs: 2_500 }, OPENED);
  t.equal(one(3_000)?.state, 'apart', 'one way is apart too');
  stream({ answer: true, atMs: 3_000 }, OPENED);
  t.equal(one(3_000)?.state, 'together', 'the latest word counts');
  stream({ answer: true, atMs: 4_000 }, REFUSED);
  t.equal(apart.length, 2);
  t.match(apart[1], { address: '10.0.0.5', byApp: 'refused', lastMs: 4_000 });
  t.equal(one(4_000 + WINDOW_MS)?.state, 'apart');
  t.strictSame(seals.peers(4_001 + WINDOW_MS), []);
  stream({ answer: true, atMs: 5_000 + 2 * WINDOW_MS }, REFUSED);
  t.equal(apart.length, 3);
});

t.test('the table is bounded, and telling answers outlast mere sightings', async (t) => {
  const { seals, stream, packet } = watch(2);
  const at = (address: string) => ({ peer: { address, port: 1 } });
  stream({ ...at('10.0.0.1'), answer: true }, REFUSED);
  for (let i = 2; i < 9; i++) packet(at(`10.0.0.${i}`), SEALED_PACKET);
  t.strictSame(
    seals.peers(1_000).map(({ address }) => address),
    ['10.0.0.1', '10.0.0.8'],
  );
  t.equal(seals.evictions(), 6);
});

t.test('any chunking of a stream says the same', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.constantFrom(REFUSED, OPENED), (sizes, bytes) => {
        const { one, seals } = watch();
        const tap = seals.stream({ ...BASE, answer: true });
        let at = 0;
        for (const size of [...sizes.map((n) => n % 3), bytes.length]) {
          tap.push(bytes.subarray(at, at + size));
          at += size;
        }
        return one()?.byApp === (bytes === REFUSED ? 'refused' : 'opened');
      }),
    ),
  );
});
