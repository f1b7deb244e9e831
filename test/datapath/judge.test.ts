import t from 'tap';
import { judge } from '../../src/datapath/judge.ts';
import type { FrameState } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { makeContext } from './harness.ts';

const STRANGERS = [{ address: '192.0.2.0', prefix: 24, family: 'ipv4' as const }];
const LABEL = new TextEncoder().encode('green');

function reports(stage: Stage, state: FrameState, admitted: boolean) {
  const { context, rejections } = makeContext({ stage }, admitted ? undefined : STRANGERS);
  const decision = judge(context, {
    direction: 'inbound',
    transport: 'native',
    kind: 'packet',
    state,
    peer: { address: '127.0.0.9', port: 7946 },
    label: state === 'foreign' ? LABEL : new Uint8Array(0),
    bytes: 20,
    handshake: false,
  });
  return { verdict: decision.verdict, rejections };
}

t.test('observe reports what accept would reject, and passes it', async (t) => {
  t.match(reports('observe', 'foreign', true), {
    verdict: 'pass',
    rejections: [{ reason: 'label_foreign', wouldRejectAt: 'accept', label: LABEL, labelState: 'foreign' }],
  });
  t.match(reports('observe', 'none', false), {
    verdict: 'pass',
    rejections: [{ reason: 'peer_not_admitted', wouldRejectAt: 'accept' }],
  });
});

t.test('observe does not report unlabelled members, which only enforce would reject', async (t) => {
  t.strictSame(reports('observe', 'none', true), { verdict: 'pass', rejections: [] });
  t.strictSame(reports('observe', 'own', false), { verdict: 'pass', rejections: [] });
});

t.test('from accept on a report is a rejection that was carried out, once, and nothing else is reported', async (t) => {
  const { verdict, rejections } = reports('accept', 'foreign', true);
  t.equal(verdict, 'reject');
  t.equal(rejections.length, 1);
  t.notOk('wouldRejectAt' in (rejections[0] ?? {}));
  t.strictSame(reports('label', 'none', true), { verdict: 'pass', rejections: [] });
});
