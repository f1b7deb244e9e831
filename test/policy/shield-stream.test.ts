import t from 'tap';
import { createStreamShield, DEFAULT_STREAM_SHIELD_LIMITS } from '../../src/policy/shield-stream.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { encodePushPull, encodeUserStream } from '../../src/wire/push-pull.ts';
import { int64, map, pushPullOf, rowOf } from './attacks.ts';

const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);
const STATE = new Uint8Array(1000);
const ROWS = [rowOf(VSN), rowOf(VSN), rowOf(VSN)];
const PUSH_PULL = encodePushPull({ join: false, nodes: ROWS, userState: STATE });

t.test('it holds until the rows are read, and no longer', async (t) => {
  const shield = createStreamShield();
  const rowsEnd = PUSH_PULL.length - STATE.length;
  t.strictSame(shield.push(PUSH_PULL.subarray(0, rowsEnd - 1)), { state: 'hold' });
  t.strictSame(shield.push(PUSH_PULL.subarray(rowsEnd - 1, rowsEnd)), { state: 'clear' });
  t.strictSame(shield.push(pushPullOf(false, rowOf(VSN.subarray(0, 1)))), { state: 'clear' }, 'for good');
  t.strictSame(shield.end(), { state: 'clear' });
});

t.test('harm is for good, and comes before what follows', async (t) => {
  const shield = createStreamShield();
  const bad = encodePushPull({
    join: true,
    nodes: [rowOf(VSN), rowOf(VSN.subarray(0, 3)), rowOf(VSN)],
    userState: STATE,
  });
  const harm = { state: 'harm', reason: 'shield_bad_version' };
  t.strictSame(shield.push(bad.subarray(0, -STATE.length - 10)), harm, 'before the last row is there');
  t.strictSame(shield.push(PUSH_PULL), harm);
  t.strictSame(shield.end(), harm);
});

t.test('a compress layer is held to its end', async (t) => {
  const packed = encodeCompress(PUSH_PULL, 0);
  const shield = createStreamShield();
  t.equal(shield.push(packed.subarray(0, -1)).state, 'hold');
  t.equal(shield.push(packed.subarray(-1)).state, 'clear');
});

t.test('what is cut off, or nothing that memberlist reads, passes', async (t) => {
  for (const bytes of [
    PUSH_PULL.subarray(0, 9),
    Uint8Array.of(6),
    new Uint8Array(0),
    encodeCompress(PUSH_PULL, 1).subarray(0, 40),
  ]) {
    const shield = createStreamShield();
    t.equal(shield.push(bytes).state, 'hold');
    t.equal(shield.end().state, 'clear');
  }
  for (const bytes of [
    Uint8Array.of(13, 0xa0),
    Uint8Array.of(255),
    Uint8Array.of(6, 7),
    encodeCompress(Uint8Array.of(99), 0),
  ]) {
    t.equal(createStreamShield().push(bytes).state, 'clear');
  }
});

t.test('versions in rows: one to five bytes', async (t) => {
  for (let size = 0; size <= 7; size++) {
    const { state } = createStreamShield().push(pushPullOf(true, rowOf(new Uint8Array(size).fill(1))));
    t.equal(state, size > 0 && size < 6 ? 'harm' : 'clear', `${size}`);
  }
});

t.test('the number of members', async (t) => {
  const header = (nodes: number) => join(Uint8Array.of(6), map(['Nodes', int64(BigInt(nodes))]));
  const { pushPullNodes } = DEFAULT_STREAM_SHIELD_LIMITS;
  t.equal(createStreamShield().push(header(pushPullNodes)).state, 'hold');
  t.strictSame(createStreamShield().push(header(pushPullNodes + 1)), {
    state: 'harm',
    reason: 'shield_push_pull_size',
  });
  t.strictSame(createStreamShield({ pushPullNodes: 2 }).push(PUSH_PULL), {
    state: 'harm',
    reason: 'shield_push_pull_size',
  });
});

t.test('what is announced', async (t) => {
  const announced = (bytes: Uint8Array) => {
    const shield = createStreamShield();
    shield.push(bytes);
    return shield.announcedBytes();
  };
  t.equal(createStreamShield().announcedBytes(), 0);
  t.equal(announced(PUSH_PULL), 3 * 112 + 1000);
  t.equal(announced(encodeUserStream(STATE)), 1000);
  const packed = encodeCompress(encodeUserStream(STATE), 0);
  t.ok(announced(packed) > 2000 && announced(packed) < 2000 + packed.length, 'packed, unpacked, and read out of that');
});
