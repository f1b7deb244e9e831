/** The short form: a ratio below half of what is promised (1.0) fails; the figures are `npm run bench:decode`'s. */
import t from 'tap';
import { compareDecoders } from './decode/compare.ts';

const RATIO_MIN = 0.5;
/** The frames themselves are 85 bytes on average; their facts are objects. */
const BYTES_PER_FRAME_MAX = 8_192;

t.test('decodes the golden frames as fast as memberlist decodes them', { timeout: 300_000 }, async (t) => {
  const { ratio, ours, go, bytesPerFrame, runs } = await compareDecoders(3, 100);
  t.comment(`ringfence ${Math.round(ours)} frames/s, memberlist ${Math.round(go)} frames/s, ratio ${ratio.toFixed(2)}`);
  for (const pair of runs) t.equal(pair.ours.messages, pair.go.messages, 'both found the same messages');
  t.ok(ratio >= RATIO_MIN, `ratio ${ratio.toFixed(2)}`);
  t.ok(bytesPerFrame < BYTES_PER_FRAME_MAX, `${Math.round(bytesPerFrame)} bytes allocated a frame`);
});
