// A dskit ring (Tempo's memberlist KV) through all stages and back under load, with shortened timers.
import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildKv } from './build.ts';
import { adoptKv, runAhead } from './kv-adoption.ts';

const skip = requireTools([...LAB_TOOLS, 'go']);
const SEED = 20_261_122;

t.setTimeout(400_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) await buildKv();
});

/** The window is longer than dskit's push/pull (5 s) and than a probe's round (5 s), as it is by default. */
const TIMERS = {
  memory: { window: '12s' },
  limits: { probeInterval: '1s', drainGrace: '0s' },
  safeMs: 45_000,
  arriveMs: 6_000,
  /** Nearly a round of dskit's probes (5 s), some twenty of gossip. */
  holdMs: 4_000,
  pollMs: 400,
};

t.test('no write is lost, forwards and backwards', { skip }, (t) => adoptKv(t, 'adoptkv', SEED, TIMERS));

t.test('control: out of step, writes and members are lost', { skip }, (t) => runAhead(t, 'hastykv', SEED, TIMERS));
