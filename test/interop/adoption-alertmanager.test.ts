// Alertmanagers from no labels to native ones, under a load of silences, with shortened timers.
import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { buildAlertmanager, buildMember } from './build.ts';
import { adoptSilences, runAhead } from './silence-adoption.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'prometheus-alertmanager']);
/** The window is longer than Alertmanager's push/pull (3 s here) and than a round of probes (2 s), as it is by default. */
const TIMERS = {
  memory: { window: '10s' },
  limits: { probeInterval: '1s', drainGrace: '0s' },
  safeMs: 45_000,
  arriveMs: 8_000,
  holdMs: 4_000,
  pollMs: 400,
};

t.setTimeout(420_000);
t.jobs = 2;

t.before(async () => {
  if (skip === false) await Promise.all([buildAlertmanager(), buildMember('v0.6.0')]);
});

t.test('no silence is late or lost on the way from no labels to native ones', { skip }, (t) =>
  adoptSilences(t, 'adoptam', TIMERS),
);

t.test('control: a label that the pair cannot take cuts the ring', { skip }, (t) => runAhead(t, 'hastyam', TIMERS));
