import t from 'tap';
import type { Bringer } from '../../src/ring/foreign.ts';
import { alarmText, bringerText, warningText } from '../../src/ring/merge-text.ts';
import { mergedRing, START_MS } from './merged-ring.ts';

t.test('an alarm says who, whose, and who brought it; what others chose is escaped', async (t) => {
  const [alarm] = mergedRing().alarms(START_MS + 3_000);
  if (alarm === undefined) throw new Error('no alarm');
  t.equal(
    alarmText(alarm),
    'RINGS MERGE: b\\x07\\x221 at 10.0.0.9:7946 is alive in this ring and belongs to cluster "green": brought by an alive message of 10.0.0.2:7946 (packet from outside, native); shown under that label by a push/pull of 10.0.0.9:50001 (stream dialled from outside, native, rejected)',
  );
});

t.test('whoever brought it', async (t) => {
  const base: Bringer = {
    atMs: 0,
    message: 'pushPull',
    by: 'peer',
    peer: { address: 'fd00::1', port: 7 },
    direction: 'outbound',
    transport: 'dskit',
    kind: 'stream',
    answer: true,
    rejected: false,
  };
  t.equal(bringerText(base), 'a push/pull answer of [fd00::1]:7 (stream dialled from our app, dskit)');
  t.equal(
    bringerText({ ...base, by: 'app', answer: false, message: 'alive', kind: 'packet' }),
    'an alive message of our own app to [fd00::1]:7 (packet from our app, dskit)',
  );
});

t.test('warnings name the rule that is broken', async (t) => {
  const ring = mergedRing();
  t.strictSame(ring.warnings(START_MS + 5_000), [], 'not before the grace');
  t.strictSame(ring.warnings(START_MS + 60_000).map(warningText), [
    'b\\x07\\x221 at 10.0.0.9 is a member of this ring, and its address is outside of admit.cidrs',
  ]);
  const instance = { name: 'i-1', address: 'h:1', key: 'k"', sinceMs: 0 };
  t.equal(
    warningText({ ...instance, kind: 'instance', outside: 'name' }),
    'i-1 at h:1 is an instance of the ring "k\\x22", and its name matches none of admit.names',
  );
  t.equal(
    warningText({ ...instance, kind: 'instance_without_member', outside: undefined, key: undefined }),
    'i-1 at h:1 is an instance of the ring "", and no member of the gossip is at its address',
  );
});
