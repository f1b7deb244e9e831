/** A line when a merge is found and one when it is over, and never a flood of them. */
import t from 'tap';
import type { MergeAlarm } from '../../src/ring/merge.ts';
import type { MergeWarning } from '../../src/ring/warnings.ts';
import { createMergeLog, FINDING_LINES_MAX } from '../../src/telemetry/merge-log.ts';
import { mergedRing, START_MS } from '../ring/merged-ring.ts';

function recorder() {
  const lines: string[] = [];
  const say = (level: string) => (fields: object, message: string) =>
    void lines.push(`${level} ${JSON.stringify(fields)} ${message}`);
  return { lines, log: { info: say('info'), warn: say('warn'), error: say('error') } };
}

t.test('one line for a finding, whatever happens again', async (t) => {
  const { lines, log } = recorder();
  const merges = createMergeLog('traces', log);
  const ring = mergedRing();
  for (let second = 3; second < 9; second++) merges.look(ring, START_MS + second * 1_000);
  t.equal(lines.length, 1);
  t.match(
    lines[0],
    /^error \{"fence":"traces","finding":"merge_alarm"\} RINGS MERGE: b\\x07\\x221 at 10\.0\.0\.9:7946 .* brought by/,
  );
  for (let second = 20; second < 30; second++) merges.look(ring, START_MS + second * 1_000);
  t.equal(lines.length, 2, 'the warning, once it is due');
  t.match(lines[1], /^warn .*outside of admit\.cidrs/);
  merges.look({ alarms: () => [], warnings: () => [] }, START_MS + 40_000);
  t.match(lines.slice(2), [/^info .* 1 merge alarms ended/, /^info .* 1 merge warnings ended/]);
  merges.look(ring, START_MS + 41_000);
  t.equal(lines.length, 6, 'what comes back is said again');
});

t.test('a whole cluster that merges is a few lines', async (t) => {
  const { lines, log } = recorder();
  const merges = createMergeLog('traces', log);
  const [alarm] = mergedRing().alarms(START_MS + 3_000);
  if (alarm === undefined) throw new Error('no alarm');
  const alarms: MergeAlarm[] = Array.from({ length: 300 }, (_, i) => ({ ...alarm, name: `b-${i}` }));
  const warnings: MergeWarning[] = alarms.map(({ name, address }) => ({
    kind: 'member',
    outside: 'name',
    name,
    address,
    key: undefined,
    sinceMs: 0,
  }));
  for (let i = 0; i < 3; i++) merges.look({ alarms: () => alarms, warnings: () => warnings }, 0);
  t.equal(lines.length, 2 * (FINDING_LINES_MAX + 1));
  t.match(lines[FINDING_LINES_MAX], /295 more members of other clusters/);
  t.match(lines.at(-1), /295 more members or instances outside the rules/);
});
