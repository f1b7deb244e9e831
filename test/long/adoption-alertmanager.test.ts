// Alertmanagers from no labels to native ones, as in test/interop, with the default times of fences: half an hour, mostly waiting for windows.
import t from 'tap';
import { buildAlertmanager, buildMember } from '../interop/build.ts';
import { adoptSilences } from '../interop/silence-adoption.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';

const skip = requireTools([...LAB_TOOLS, 'go', 'prometheus-alertmanager']);

t.setTimeout(3_500_000);

t.test('with the default timers, no silence is late or lost', { skip }, async (t) => {
  await Promise.all([buildAlertmanager(), buildMember('v0.6.0')]);
  await adoptSilences(t, 'longam', {
    memory: {},
    limits: { drainGrace: '0s' },
    safeMs: 720_000,
    arriveMs: 5_000,
    holdMs: 10_000,
    // A reader's list is long after a thousand silences.
    pollMs: 2_000,
  });
});
