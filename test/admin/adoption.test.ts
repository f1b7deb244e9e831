import t from 'tap';
import { ADOPTION_ROWS_MAX, type AdoptionFence } from '../../src/admin/adoption.ts';
import { route } from '../../src/admin/routes.ts';
import type { FenceStatus, Status } from '../../src/admin/status.ts';
import type { FenceView } from '../../src/admin/view.ts';
import { readAdminAnswer } from '../../src/control/fleet-answer.ts';
import { readiness } from '../../src/ring/readiness.ts';
import { dnsRow, LEG, NO_FENCE, NOW_MS, probe, row, SECOND_MS, situation } from '../ring/evidence-rows.ts';
import { mergedRing, START_MS } from '../ring/merged-ring.ts';
import { adminView, fenceView, type MachineChange, request } from './helpers.ts';

const known = situation([
  row({ name: 'tempo-\u001b1', probe: { packet: LEG.silent, stream: LEG.answered }, fence: NO_FENCE, ownMs: 0 }),
  row({
    name: 'b',
    address: '10.0.0.2',
    unlabelled: { count: 14, sinceMs: NOW_MS - 20 * SECOND_MS, lastMs: NOW_MS - SECOND_MS },
    probe: { packet: undefined, stream: LEG.never },
    fence: { outcome: 'unknown', problem: 'timeout', atMs: NOW_MS },
  }),
  row({ name: 'x', address: '10.0.0.3', state: 'dead', foreignLabel: new TextEncoder().encode('green\n') }),
  dnsRow({ address: '10.0.0.9' }),
]);

function view(change: Partial<FenceView> = {}, more: MachineChange = {}) {
  const given = more.situation ?? known;
  return fenceView(change, { situation: given, step: (to) => readiness(to, given), stage: given.stage, ...more });
}

async function get(path: string, ...fences: FenceView[]) {
  const answer = await route(adminView(...fences), request(path), '');
  return { ...answer, value: JSON.parse(answer.body) as { version: string; fences: AdoptionFence[] } };
}

t.test('brief: what fences ask each other for, read by the fleet client', async (t) => {
  const { status, body, value } = await get('/api/v1/adoption?brief=true', view());
  t.equal(status, 200);
  t.strictSame(value, {
    version: '1.2.3',
    fences: [
      {
        name: 'traces',
        cluster: 'blue',
        label: '626c7565',
        member: 'a-1',
        stage: 'accept',
        origin: 'config',
        since: '1970-01-01T00:00:05.000Z',
        auto: false,
        waitsFor: null,
        starting: false,
      },
    ],
  });
  t.strictSame(readAdminAnswer(body), {
    outcome: 'fences',
    fences: [{ label: '626c7565', member: 'a-1', stage: 'accept', starting: false }],
  });
  const unknown = view({ adoption: { ...view().adoption, member: () => undefined } });
  t.equal((await get('/api/v1/adoption?brief=true', unknown)).value.fences[0]?.member, null);
});

t.test('in full: every other stage with who stands against it, and what is known of every member', async (t) => {
  const dns = () => [{ name: 'ring.example\n', lastSuccessMs: 1_000, problem: undefined, addresses: 3 }];
  const fallbacks = () => [{ name: 'b\u0007', address: '10.0.0.2', lastMs: 2_000 }];
  const more = view({}, { adoption: { fallbacks } });
  const fence = (await get('/api/v1/adoption', { ...more, adoption: { ...more.adoption, dns } })).value.fences[0];
  t.match(fence, {
    next: 'label',
    readyToAdvance: false,
    membersTotal: 4,
    removable: { yes: false, why: /app\.sends/ },
  });
  t.strictSame(
    fence?.steps.map(({ to, readiness: said }) => [to, said]),
    [
      ['observe', 'unknown'],
      ['label', 'unknown'],
      ['enforce', 'unsafe'],
    ],
  );
  t.strictSame(
    fence?.steps[1]?.against.find((one) => (one as { name: string }).name !== null),
    {
      code: 'not_asked_yet',
      cuts: false,
      name: 'b',
      address: '10.0.0.2',
      port: 7946,
      text: 'not asked by a labelled ping yet',
    },
  );
  t.strictSame(fence?.dns, [
    { name: 'ring.example\\x0a', lastSuccess: '1970-01-01T00:00:01.000Z', problem: null, addresses: 3 },
  ]);
  t.strictSame(fence?.fallbacks, [{ name: 'b\\x07', address: '10.0.0.2', last: '1970-01-01T00:00:02.000Z' }]);
  const [b, tempo, inDns, foreign] = fence?.members ?? [];
  const secondAgo = new Date(NOW_MS - SECOND_MS).toISOString();
  t.match(b, {
    name: 'b',
    unlabelled: { count: 14, last: secondAgo },
    probe: { packet: null, stream: { asked: null, answered: null, silentSince: null } },
    fence: { outcome: 'unknown', stage: null, problem: 'timeout' },
    lastOwn: secondAgo,
  });
  t.match(tempo, {
    name: 'tempo-\\x1b1',
    lastOwn: null,
    unlabelled: null,
    probe: { packet: { answered: null } },
    fence: { outcome: 'none' },
  });
  t.match(inDns, { name: null, address: '10.0.0.9', state: null, inDns: true, probe: null, fence: null });
  t.match(foreign, {
    name: 'x',
    state: 'dead',
    foreignLabel: 'green\\x0a',
    fence: { outcome: 'fence', stage: 'label' },
  });
});

t.test('stages that cannot be are no steps, and rows are bounded', async (t) => {
  const members = Array.from({ length: ADOPTION_ROWS_MAX + 7 }, (_, i) => row({ name: `m-${i}` }));
  const dialects = { sends: 'none', takes: 'none', wire: 'own' } as const;
  const many = situation(members, { dialects });
  const fence = view({ dialects, ceiling: { stage: 'label', why: 'because' } }, { situation: many });
  const answer = (await get('/api/v1/adoption', fence)).value.fences[0];
  t.strictSame(
    answer?.steps.map(({ to }) => to),
    ['label'],
  );
  t.equal(answer?.members.length, ADOPTION_ROWS_MAX);
  t.equal(answer?.membersTotal, ADOPTION_ROWS_MAX + 7);
  const top = view({ ceiling: { stage: 'accept', why: 'because' } });
  t.match((await get('/api/v1/adoption', top)).value.fences[0], { next: null, readyToAdvance: false });
});

t.test('bad questions', async (t) => {
  t.match(await get('/api/v1/adoption?brief=yes', view()), {
    status: 400,
    value: { error: 'brief must be true or false' },
  });
  t.match(await get('/api/v1/adoption?fence=none', view()), { status: 404 });
  t.match(await get('/api/v1/adoption?fence=traces&brief=false', view()), { status: 200 });
});

async function statusOf(fence: FenceView): Promise<FenceStatus | undefined> {
  const { body } = await route(adminView(fence), request('/api/v1/status'), '');
  return (JSON.parse(body) as Status).fences[0];
}

t.test('the status has the next step, and says loudly what is not protected', async (t) => {
  const fallbacks = () => [{ name: undefined, address: '10.0.0.2', lastMs: 2_000 }];
  const status = await statusOf(view({}, { adoption: { fallbacks, ambiguous: () => 2 } }));
  t.match(status?.adoption, {
    origin: 'config',
    auto: false,
    starting: false,
    next: { to: 'label', readiness: 'unknown', againstTotal: 3 },
    readyToAdvance: false,
    fallbacks: [{ name: null, address: '10.0.0.2' }],
    ambiguous: 2,
    removable: { yes: false },
    dns: [],
  });
  t.strictSame(status?.adoption.next?.against, [
    '10.0.0.9: in DNS, never seen',
    'b 10.0.0.2: not asked by a labelled ping yet',
    'tempo-\\x1b1 10.0.0.1: drops labelled pings on UDP',
  ]);
  t.match(status?.notes, [
    /^NOT PROTECTED YET: at accept unlabelled frames/,
    'HALF-LABELLED RING: 1 of 2 other members sent the label in the last 10 min.',
  ]);
  const safe = await statusOf(view({}, { situation: situation([row()]) }));
  t.match(safe?.adoption, { next: { to: 'label', readiness: 'safe', against: [] }, readyToAdvance: true });
});

t.test('at enforce: who is kept out although admitted, by name and address', async (t) => {
  const unlabelled = { count: 3, sinceMs: NOW_MS - 20 * SECOND_MS, lastMs: NOW_MS - SECOND_MS };
  const rows = Array.from({ length: 7 }, (_, i) => row({ name: `bare-${i}`, address: `10.0.0.${i}`, unlabelled }));
  const status = await statusOf(view({}, { situation: situation([...rows, row()], { stage: 'enforce' }) }));
  t.equal(status?.adoption.next, null);
  t.match(
    status?.notes[0],
    /^KEPT OUT: bare-0 10\.0\.0\.0 is admitted and sent 3 frames without the label in the last 20 s: /,
  );
  t.match(status?.notes[5], 'KEPT OUT: 2 more admitted addresses send without the label.');
});

t.test('members whose fence answers are fenced', async (t) => {
  const ring = mergedRing();
  const nowMs = START_MS + 4_000;
  const [first] = ring.members(nowMs);
  const given = situation([row({ name: first?.name ?? '' })]);
  const { body } = await route(
    adminView(view({ ring, now: () => nowMs }, { situation: given })),
    request('/api/v1/members'),
    '',
  );
  const { fences } = JSON.parse(body) as { fences: { ring: { members: { rows: { fenced: boolean | null }[] } } }[] };
  const fenced = fences[0]?.ring.members.rows.map((one) => one.fenced) ?? [];
  t.equal(fenced.filter((one) => one === true).length, 1);
  t.ok(fenced.includes(null), 'of others nothing is known');
});

t.test('a leg that answers is told from one that was never asked', async (t) => {
  const fence = view({}, { situation: situation([row({ probe: probe(LEG.answered) })]) });
  const [member] = (await get('/api/v1/adoption', fence)).value.fences[0]?.members ?? [];
  t.match(member?.probe?.stream, { answered: new Date(NOW_MS - SECOND_MS).toISOString(), silentSince: null });
});
