// A dskit ring (Tempo's memberlist KV) through all stages and back under load, with shortened timers.
import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildKv } from './build.ts';
import { adoptKv } from './kv-adoption.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const SEED = 20_261_122;

t.setTimeout(400_000);

t.before(async () => {
  if (skip === false) await buildKv();
});

t.test('no write is lost, forwards and backwards', { skip }, (t) =>
  adoptKv(t, 'adoptkv', SEED, {
    // Longer than dskit's push/pull (5 s) and than a probe's round (5 s), as by default.
    memory: { window: '12s' },
    limits: { probeInterval: '1s', drainGrace: '0s' },
    safeMs: 45_000,
    arriveMs: 6_000,
    holdMs: 2_000,
  }),
);
