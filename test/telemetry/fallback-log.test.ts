/** A line for each peer that falls back, at most one a minute, and never a flood of them. */
import t from 'tap';
import { createFallbackLog, FALLBACK_LINE_EVERY_MS, FALLBACK_LINES_MAX } from '../../src/telemetry/fallback-log.ts';

function recorder() {
  const lines: string[] = [];
  const warn = (fields: object, message: string) => void lines.push(`${JSON.stringify(fields)} ${message}`);
  return { lines, look: createFallbackLog('traces', { warn }).look };
}

t.test('once a minute a peer, and only while it goes on', async (t) => {
  const { lines, look } = recorder();
  const peer = (lastMs: number) => [{ name: 'a\n', address: '10.0.0.1', lastMs }];
  look(peer(1_000), 2_000);
  t.strictSame(lines, [
    '{"fence":"traces","peer":"10.0.0.1"} FALL-BACK: a\\x0a 10.0.0.1 sent the label and now sends frames without it',
  ]);
  look(peer(5_000), 6_000);
  look(peer(5_000), 2_000 + 2 * FALLBACK_LINE_EVERY_MS);
  t.equal(lines.length, 2, 'it went on, and a minute has passed');
  look(peer(5_000), 2_000 + 4 * FALLBACK_LINE_EVERY_MS);
  t.equal(lines.length, 2, 'it was silent');
  look([], 2_000 + 5 * FALLBACK_LINE_EVERY_MS);
  look(peer(9_000), 3_000 + 5 * FALLBACK_LINE_EVERY_MS);
  t.equal(lines.length, 3, 'it had stopped, and begins anew');
});

t.test('a whole cluster that goes back is a few lines', async (t) => {
  const { lines, look } = recorder();
  const peers = Array.from({ length: 20_000 }, (_, i) => ({ name: undefined, address: `a${i}`, lastMs: 1_000 }));
  look(peers, 2_000);
  t.equal(lines.length, FALLBACK_LINES_MAX + 1);
  t.match(lines.at(-1), /"more":19995.*FALL-BACK: 19995 more peers/);
});
