import t from 'tap';
import type { FenceContext } from '../../src/datapath/engine.ts';
import { judge, type SeenFrame } from '../../src/datapath/judge.ts';
import { type AdmissionRules, type Cidr, createAdmission, NO_ADMISSION_RULES } from '../../src/policy/admission.ts';
import type { FrameState } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { parseAddress } from '../../src/wire/address.ts';
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

const PEER = { address: '127.0.0.9', port: 7946 };
const ADDRESS = parseAddress(PEER.address) as Uint8Array;

/** What memory keeps of one inbound frame. */
function learned(frame: Partial<SeenFrame>, before: (context: FenceContext) => void = () => undefined, cidrs?: Cidr[]) {
  const { context } = makeContext({ stage: 'accept' }, cidrs);
  before(context);
  judge(context, {
    ...{ direction: 'inbound', transport: 'native', kind: 'packet', state: 'none', peer: PEER, label: LABEL },
    ...{ bytes: 20, handshake: false },
    ...frame,
  });
  const record = context.peers.records(context.now()).find(({ port }) => port === 0);
  return {
    unlabelled: record?.unlabelled?.count ?? 0,
    own: (record?.lastOwnMs ?? 0) > 0,
    none: (record?.lastNoneMs ?? 0) > 0,
    foreign: (record?.lastForeignMs ?? 0) > 0,
  };
}
const NOTHING = { unlabelled: 0, own: false, none: false, foreign: false };
const sentTo = ({ peers, now }: FenceContext) => peers.sent(ADDRESS, PEER.port, now());

t.test('unlabelled frames are counted of admitted peers alone', async (t) => {
  t.strictSame(learned({}), { ...NOTHING, unlabelled: 1 });
  t.strictSame(learned({}, undefined, STRANGERS), NOTHING, 'a stranger');
  t.strictSame(learned({ direction: 'outbound' }), NOTHING, 'what our app sends says nothing of the peer');
  t.strictSame(learned({ handshake: true, kind: 'stream' }), { ...NOTHING, unlabelled: 1, none: true });
  t.strictSame(
    learned({}, ({ peers, now }) => peers.learn(ADDRESS, 'foreign', now())),
    {
      ...NOTHING,
      foreign: true,
    },
  );
});

t.test('where there are no rules, a datagram counts only of whom the label proved, or we sent to', async (t) => {
  t.strictSame(learned({}, undefined, []), NOTHING);
  t.strictSame(learned({}, sentTo, []), { ...NOTHING, unlabelled: 1 });
  const showedLabel = ({ peers, now }: FenceContext) => peers.learn(ADDRESS, 'own', now());
  t.strictSame(
    learned({}, showedLabel, []),
    { ...NOTHING, own: true, unlabelled: 1 },
    'nobody made up: a member that fell back, which enforce would cut',
  );
  t.strictSame(learned({ handshake: true, kind: 'stream' }, undefined, []).unlabelled, 1);
});

t.test('a neutral frame teaches nothing, unless it shows a foreign label', async (t) => {
  const neutral = () => true;
  t.strictSame(learned({ neutral }), NOTHING);
  t.strictSame(learned({ neutral, state: 'own' }, sentTo), NOTHING);
  t.strictSame(learned({ state: 'own' }, sentTo), { ...NOTHING, own: true });
  for (const state of ['own', 'none'] as const) t.strictSame(learned({ neutral, state, handshake: true }), NOTHING);
  t.strictSame(learned({ neutral, state: 'foreign', handshake: true }), { ...NOTHING, foreign: true });
});

t.test('a spoofed datagram with a foreign label teaches nothing, and cuts nobody', async (t) => {
  const { context } = makeContext({ stage: 'accept' });
  const frame = {
    direction: 'inbound',
    transport: 'native',
    kind: 'packet',
    peer: PEER,
    bytes: 20,
    handshake: false,
  } as const;
  for (let i = 0; i < 100; i++) judge(context, { ...frame, state: 'foreign', label: LABEL });
  t.strictSame(context.peers.records(context.now()), []);
  t.equal(judge(context, { ...frame, state: 'none', label: new Uint8Array(0) }).verdict, 'pass');
});

t.test('what an address with several members behind it shows is not held against them', async (t) => {
  const { context } = makeContext({ stage: 'accept' });
  const [cidrs, shared] = [[{ address: '127.0.0.0', prefix: 8, family: 'ipv4' as const }], [PEER.address]];
  const frame = {
    direction: 'inbound',
    transport: 'native',
    kind: 'stream',
    peer: PEER,
    bytes: 20,
    handshake: true,
  } as const;
  const verdict = (rules: Partial<AdmissionRules>) => {
    const admission = createAdmission({ ...NO_ADMISSION_RULES, cidrs, ...rules });
    const here = { ...context, admission: () => admission };
    t.equal(judge(here, { ...frame, state: 'foreign', label: LABEL }).reason, 'label_foreign');
    return judge(here, { ...frame, state: 'none', label: new Uint8Array(0) }).reason;
  };
  t.equal(verdict({}), 'peer_foreign');
  t.equal(verdict({ shared }), undefined);
});
