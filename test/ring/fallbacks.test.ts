import t from 'tap';
import { fallbacksOf } from '../../src/ring/fallbacks.ts';
import type { PeerRecord } from '../../src/ring/peers.ts';
import { NOW_MS, row, SECOND_MS, WINDOW_MS } from './evidence-rows.ts';

const moment = { nowMs: NOW_MS, windowMs: WINDOW_MS };
const nobody = () => false;

function record(address: string, change: Partial<PeerRecord> = {}): PeerRecord {
  return {
    address,
    port: 0,
    proven: true,
    foreign: false,
    ambiguous: false,
    lastOwnMs: NOW_MS - 20 * SECOND_MS,
    lastNoneMs: 0,
    lastForeignMs: 0,
    lastSentMs: 0,
    unlabelled: undefined,
    ...change,
  };
}

t.test('who sent the label and now sends none, by a connection or by datagrams, the latest first', async (t) => {
  const lastNoneMs = NOW_MS - 10 * SECOND_MS;
  const sent = { count: 1, sinceMs: NOW_MS - SECOND_MS, lastMs: NOW_MS - SECOND_MS };
  const records = [
    record('10.0.0.1', { lastNoneMs }),
    record('10.0.0.2', { unlabelled: sent }),
    record('10.0.0.3', { lastNoneMs, lastOwnMs: NOW_MS - SECOND_MS }),
    record('10.0.0.4', { lastNoneMs, lastOwnMs: 0 }),
    record('10.0.0.5', { lastNoneMs, lastOwnMs: NOW_MS - WINDOW_MS - 1 }),
    record('10.0.0.6', { lastNoneMs, ambiguous: true }),
    record('10.0.0.7', { lastNoneMs, port: 7946 }),
    record('10.0.0.8', { lastNoneMs }),
    record('10.0.0.9'),
  ];
  const rows = [row({ name: 'a' }), row({ name: 'b', address: '10.0.0.2' }), row({ name: 'b2', address: '10.0.0.2' })];
  t.strictSame(
    fallbacksOf(records, rows, (address) => address === '10.0.0.8', moment),
    [
      { name: undefined, address: '10.0.0.2', lastMs: NOW_MS - SECOND_MS },
      { name: 'a', address: '10.0.0.1', lastMs: lastNoneMs },
    ],
  );
  t.strictSame(fallbacksOf([record('10.0.0.1')], rows, nobody, moment), []);
});
