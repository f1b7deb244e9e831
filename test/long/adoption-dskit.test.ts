// A dskit ring through all stages and back, as in test/interop: with other seeds, and with the default timers of fences.
import t from 'tap';
import { buildKv } from '../interop/build.ts';
import { adoptKv, type KvTimers } from '../interop/kv-adoption.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const SEEDS = [1, 2, 3];

const SHORT: KvTimers = {
  memory: { window: '12s' },
  limits: { probeInterval: '1s', drainGrace: '0s' },
  safeMs: 60_000,
  arriveMs: 6_000,
  holdMs: 4_000,
  pollMs: 400,
};

t.setTimeout(3_500_000);

t.before(async () => {
  if (skip === false) await buildKv();
});

for (const seed of SEEDS) {
  t.test(`seed ${seed}: no write is lost`, { skip }, (t) => adoptKv(t, `longkv${seed}`, seed, SHORT));
}

t.test('with the default timers, no write is lost', { skip }, (t) =>
  adoptKv(t, 'longkv', 20_261_122, {
    ...SHORT,
    memory: {},
    limits: {},
    safeMs: 720_000,
    holdMs: 10_000,
    pollMs: 2_000,
  }),
);
