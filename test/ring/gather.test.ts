import t from 'tap';
import { type Cidr, createAdmission, NO_ADMISSION_RULES, parseCidr } from '../../src/policy/admission.ts';
import { type EvidenceSources, gatherEvidence, type PeerShown } from '../../src/ring/gather.ts';
import type { MemberView } from '../../src/ring/member-view.ts';
import { fenceAt, LEG, NO_FENCE, NOW_MS, SECOND_MS, WINDOW_MS } from './evidence-rows.ts';

function member(name: string, address: string, change: Partial<MemberView> = {}): MemberView {
  return {
    name,
    address,
    port: 7946,
    state: 'alive',
    incarnation: 1,
    protocol: undefined,
    delegate: undefined,
    meta: new Uint8Array(0),
    firstSeenMs: 1,
    addressSinceMs: 1,
    lastSeenMs: NOW_MS - SECOND_MS,
    stateSinceMs: NOW_MS - 60 * SECOND_MS,
    outside: undefined,
    app: false,
    labelState: undefined,
    sealForm: undefined,
    lastHeardMs: undefined,
    fenced: undefined,
    foreignLabel: undefined,
    ...change,
  };
}

function peer(address: string, change: Partial<PeerShown> = {}): PeerShown {
  return { address, port: 0, ambiguous: false, lastOwnMs: 0, unlabelled: undefined, ...change };
}

const RULES = { ...NO_ADMISSION_RULES, cidrs: [parseCidr('10.0.0.0/8') as Cidr] };
const SENT = { count: 14, sinceMs: NOW_MS - 10 * SECOND_MS, lastMs: NOW_MS - SECOND_MS };

function gather(change: Partial<EvidenceSources>) {
  return gatherEvidence({
    nowMs: NOW_MS,
    windowMs: WINDOW_MS,
    tableMs: NOW_MS - SECOND_MS,
    members: [],
    listed: [],
    records: [],
    admission: createAdmission(RULES),
    leaves: (address) => address === '10.0.0.2' || address === '192.0.2.1',
    local: { has: (address) => address === '10.0.0.100', port: 7946 },
    probe: () => undefined,
    fence: () => undefined,
    ...change,
  });
}

const names = (rows: ReturnType<typeof gather>) => rows.map(({ name, address }) => name ?? address);

t.test('who counts: whom gossip named within the window, but those who left and our own app', async (t) => {
  const members = [
    member('a', '10.0.0.1'),
    member('suspect', '10.0.0.2', { state: 'suspect' }),
    member('dead', '10.0.0.3', { state: 'dead' }),
    member('left', '10.0.0.4', { state: 'left' }),
    member('old', '10.0.0.5', { lastSeenMs: NOW_MS - WINDOW_MS - 1 }),
    member('me', '10.0.0.6', { app: true }),
    member('me before', '10.0.0.100', { state: 'dead' }),
    member('beside me', '10.0.0.100', { port: 7947 }),
    member('foreign', '10.0.0.7', { foreignLabel: new Uint8Array([1]), fenced: true }),
  ];
  const rows = gather({ members });
  t.strictSame(names(rows), ['a', 'suspect', 'dead', 'beside me', 'foreign']);
  t.strictSame(
    rows.map(({ leaving }) => leaving),
    [false, true, false, false, false],
  );
  t.match(rows[0], {
    port: 7946,
    state: 'alive',
    namedMs: NOW_MS - SECOND_MS,
    inDns: false,
    admitted: true,
    fenced: false,
  });
  t.match(rows[4], { fenced: true, foreignLabel: new Uint8Array([1]) });
});

t.test('whom the last full table named stays a member until the next one, however old that is', async (t) => {
  const tableMs = NOW_MS - 2 * WINDOW_MS;
  const members = [
    member('a', '10.0.0.1', { lastSeenMs: tableMs }),
    member('gone from it', '10.0.0.3', { lastSeenMs: tableMs - 1 }),
  ];
  const listed = ['10.0.0.1'];
  t.strictSame(
    names(gather({ members, tableMs, listed })),
    ['a'],
    'and is not taken for an address that only DNS names',
  );
  t.strictSame(names(gather({ members, tableMs: 0 })), []);
});

t.test('what DNS lists counts too, under our own port', async (t) => {
  const members = [
    member('a', '10.0.0.1'),
    member('left', '10.0.0.4', { state: 'left' }),
    member('left before', '10.0.0.1', { state: 'left' }),
  ];
  const rows = gather({ members, listed: ['10.0.0.1', '10.0.0.4', '10.0.0.9', '10.0.0.100', '192.0.2.1'] });
  t.strictSame(names(rows), ['a', 'left', '10.0.0.9', '192.0.2.1']);
  t.match(rows[2], {
    name: undefined,
    state: undefined,
    namedMs: 0,
    inDns: true,
    port: 7946,
    admitted: true,
    ownMs: 0,
  });
  t.match(rows[3], { admitted: false, leaving: false });
});

t.test('addresses of neither kind count while they send unlabelled frames, where they are admitted', async (t) => {
  const unlabelled = SENT;
  const records = [
    peer('10.0.0.1', { unlabelled }),
    peer('10.0.0.2', { unlabelled }),
    peer('10.0.0.3', { unlabelled: { ...SENT, lastMs: NOW_MS - WINDOW_MS - 1 } }),
    peer('192.0.2.1', { unlabelled }),
    peer('10.0.0.100', { unlabelled }),
    peer('10.0.0.4', { unlabelled: { ...SENT, lastMs: NOW_MS - 58 * SECOND_MS } }),
    peer('10.0.0.5', { unlabelled }),
    peer('10.0.0.7', { unlabelled }),
    peer('10.0.0.8', { port: 7946, unlabelled }),
    peer('10.0.0.9', { unlabelled }),
    peer('10.0.0.10'),
  ];
  const members = [
    member('a', '10.0.0.1'),
    member('said goodbye', '10.0.0.4', { state: 'left' }),
    member('came back', '10.0.0.5', { state: 'left' }),
    member('old foreigner', '10.0.0.7', { foreignLabel: new Uint8Array([1]), lastSeenMs: 1 }),
    member('old', '10.0.0.11', { lastSeenMs: 1 }),
  ];
  const rows = gather({ members, records, listed: ['10.0.0.9'] });
  t.strictSame(names(rows), ['a', '10.0.0.9', '10.0.0.2', '10.0.0.5']);
  t.strictSame(rows[0]?.unlabelled, SENT);
  t.match(rows[2], { state: undefined, inDns: false, unlabelled: SENT });
});

t.test('what is too old or was never sent is no unlabelled frame', async (t) => {
  const members = [member('a', '10.0.0.1'), member('b', '10.0.0.2')];
  const records = [
    peer('10.0.0.1', { unlabelled: { ...SENT, count: 0 } }),
    peer('10.0.0.2', { unlabelled: { ...SENT, lastMs: NOW_MS - WINDOW_MS - 1 } }),
  ];
  t.strictSame(
    gather({ members, records }).map(({ unlabelled }) => unlabelled),
    [undefined, undefined],
  );
});

t.test('proof: the address, but where several are behind it only an answer from the very port', async (t) => {
  const members = [
    member('a', '10.0.0.1'),
    member('b', '10.0.0.2'),
    member('c', '10.0.0.2', { port: 7947 }),
    member('nat', '10.0.0.3'),
    member('shared', '10.0.0.4'),
    member('twice', '10.0.0.5', { state: 'dead' }),
    member('twice now', '10.0.0.5'),
  ];
  const records = [
    peer('10.0.0.1', { lastOwnMs: 5 }),
    peer('10.0.0.2', { lastOwnMs: 6 }),
    peer('10.0.0.3', { lastOwnMs: 7, ambiguous: true }),
    peer('10.0.0.4', { lastOwnMs: 8 }),
    peer('10.0.0.5', { lastOwnMs: 9 }),
  ];
  const answered = { ...LEG.answered, answer: 'own' as const };
  const rows = gather({
    members,
    records,
    admission: createAdmission({ ...RULES, shared: ['10.0.0.4'] }),
    probe: ({ port }) =>
      port === 7947 ? { packet: answered, stream: LEG.silent } : { packet: LEG.answered, stream: LEG.answered },
    fence: ({ name }) => (name === 'a' ? fenceAt('label') : NO_FENCE),
  });
  t.strictSame(
    rows.map(({ name, ambiguous, ownMs }) => [name, ambiguous, ownMs]),
    [
      ['a', false, 5],
      ['b', true, 0],
      ['c', true, answered.answeredMs],
      ['nat', true, 0],
      ['shared', true, 0],
      ['twice', false, 9],
      ['twice now', false, 9],
    ],
  );
  t.strictSame(rows[0]?.fence, fenceAt('label'));
  t.strictSame(rows[1]?.fence, NO_FENCE);
});

t.test("what an address showed before the member came there is nobody else's proof", async (t) => {
  const cameMs = NOW_MS - 20 * SECOND_MS;
  const members = [member('new', '10.0.0.1', { addressSinceMs: cameMs })];
  const own = (lastOwnMs: number) => gather({ members, records: [peer('10.0.0.1', { lastOwnMs })] })[0]?.ownMs;
  t.equal(own(cameMs - 1), 0, 'of whoever had the address before');
  t.equal(own(cameMs), cameMs);
});
