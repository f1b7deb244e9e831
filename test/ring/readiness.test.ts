/** What readiness says, in words: each line that can stand against a step. That it is right is readiness-model.test.ts's. */
import t from 'tap';
import type { Stage } from '../../src/policy/stage.ts';
import { FENCE_PROBLEMS } from '../../src/ring/evidence.ts';
import { answerLifeMs, NO_RULES_NOTE, readiness, type Situation } from '../../src/ring/readiness.ts';
import { againstText, FENCE_PROBLEM_TEXTS, spanText } from '../../src/ring/readiness-text.ts';
import { AGAINST_CODES, AGAINST_MAX } from '../../src/ring/readiness-types.ts';
import {
  dnsRow,
  fenceAt,
  LEG,
  NO_FENCE,
  NOW_MS,
  probe,
  row,
  SECOND_MS,
  situation,
  WINDOW_MS,
} from './evidence-rows.ts';

const MINUTE_MS = 60 * SECOND_MS;

/** Each line against `to` as [code, cuts, text], and the readiness. */
function said(to: Stage, known: Situation) {
  const step = readiness(to, known);
  return [step.readiness, ...step.against.map((one) => [one.code, one.cuts, againstText(one)])];
}

t.test('all that is known speaks for every step', async (t) => {
  const ring = [row(), row({ name: 'm-2', address: '10.0.0.2', probe: { packet: undefined, stream: LEG.answered } })];
  for (const stage of ['observe', 'accept', 'label'] as const) {
    for (const to of ['accept', 'label', 'enforce'] as const) {
      t.strictSame(said(to, situation(ring, { stage })), ['safe'], `${stage} to ${to}`);
    }
  }
  t.strictSame(said('accept', situation([], { stage: 'observe' })), ['safe'], 'nobody else is there, by a full table');
  t.equal(answerLifeMs(1_000), 30_000);
  t.equal(answerLifeMs(60_000), 180_000);
});

t.test('accept: whom the rules do not name', async (t) => {
  const known = situation(
    [
      row({ name: 'tempo-\n1', admitted: false, ownMs: 0 }),
      row({ name: 'proven', address: '10.0.0.2', admitted: false }),
      row({ name: undefined, state: undefined, address: '10.0.0.3', admitted: false }),
    ],
    { stage: 'observe' },
  );
  const text = 'not named by the admission rules: its unlabelled frames, and what the app sends it, would be rejected';
  t.strictSame(said('accept', known), [
    'unsafe',
    ['not_admitted', true, `tempo-\\x0a1 10.0.0.1: ${text}`],
    ['not_admitted', false, `proven 10.0.0.2: ${text}`],
  ]);
  t.strictSame(readiness('accept', { ...known, hasRules: false }).notes, [NO_RULES_NOTE]);
});

t.test('accept and label: who left DNS is admitted for the grace alone', async (t) => {
  const rows = [
    row({ name: 'unready', ownMs: 0, leaving: true }),
    row({ name: 'labels', address: '10.0.0.2', leaving: true }),
    row({ name: 'gone', address: '10.0.0.3', ownMs: 0, state: 'dead', leaving: true }),
  ];
  const line = ['not_admitted', false, 'unready 10.0.0.1: left DNS, and is admitted for the grace alone (admit.grace)'];
  t.strictSame(said('accept', situation(rows, { stage: 'observe' })), ['unknown', line]);
  t.strictSame(said('label', situation(rows, { stage: 'accept' })).slice(0, 2), ['unknown', line]);
});

t.test('label: who does not take the label', async (t) => {
  const old = { ...LEG.answered, answeredMs: NOW_MS - 2 * MINUTE_MS };
  const known = situation([
    row({ name: 'a', fence: fenceAt('observe'), probe: probe(LEG.silent) }),
    row({ name: 'b', probe: { packet: LEG.silent, stream: LEG.answered }, fence: NO_FENCE }),
    row({ name: 'c', probe: { packet: LEG.answered, stream: LEG.silent }, fence: undefined }),
    row({ name: 'd', probe: undefined, fence: fenceAt('accept', { starting: true }) }),
    row({ name: 'e', probe: probe(old), fence: NO_FENCE }),
    row({ name: 'f', address: '10.0.0.7', probe: probe(LEG.silent), state: 'dead' }),
    row({ name: 'g', probe: probe(LEG.silent), state: 'left', inDns: true }),
    dnsRow({ address: '10.0.0.9' }),
    row({ name: 'h', fence: fenceAt('observe') }),
    row({ name: 'i', fence: fenceAt('observe'), probe: undefined }),
  ]);
  t.strictSame(
    said('label', known),
    [
      'unsafe',
      ['drops_labelled', true, 'a 10.0.0.1: drops labelled pings (its fence is at observe)'],
      ['fence_behind', true, 'i 10.0.0.1: its fence is at observe and hands labelled frames to an app that drops them'],
      ['never_seen', false, '10.0.0.9: in DNS, never seen'],
      ['drops_labelled', false, 'b 10.0.0.1: drops labelled pings on UDP'],
      ['drops_labelled', false, 'c 10.0.0.1: drops labelled pings on TCP'],
      ['not_asked_yet', false, 'd 10.0.0.1: not asked by a labelled ping yet (its fence is starting)'],
      ['not_asked_yet', false, 'e 10.0.0.1: not asked by a labelled ping yet, last answered 2 min ago'],
      ['not_asked_yet', false, 'f 10.0.0.7: dead by gossip, and cannot be asked: it may come back as it was'],
      ['never_seen', false, 'g 10.0.0.1: in DNS, though it left the ring'],
      ['fence_behind', false, 'h 10.0.0.1: answers labelled pings, but its fence is at observe, two stages below'],
    ].toSorted(byCertainty),
  );
  t.strictSame(said('label', { ...known, evidence: [row({ probe: undefined })], sealedWithoutKeys: true }), [
    'unknown',
    [
      'sealed_without_keys',
      false,
      'gossip is encrypted and there are no keys: no member can be asked by a labelled ping',
    ],
  ]);
});

function byCertainty(a: unknown, b: unknown): number {
  const key = (value: unknown) =>
    Array.isArray(value) ? `${value[1] ? 1 : 2} ${String(value[2]).replace(/^(10\S+):/, ' $1')}` : '0';
  return key(a) < key(b) ? -1 : 1;
}

t.test('enforce: who does not send the label', async (t) => {
  const sent = { count: 14, sinceMs: NOW_MS - WINDOW_MS, lastMs: NOW_MS - 3 * MINUTE_MS };
  const own = { ownMs: 0 };
  const known = situation(
    [
      row({ name: undefined, state: undefined, address: '10.0.3.9', unlabelled: sent, ...own, fence: undefined }),
      row({ name: 'b', unlabelled: { ...sent, count: 1, sinceMs: NOW_MS - 500 }, ...own, fence: fenceAt('accept') }),
      row({ name: 'c', unlabelled: sent, ...own }),
      row({ name: 'd', unlabelled: sent, fence: NO_FENCE }),
      row({ name: 'e', unlabelled: sent, ambiguous: true }),
      row({ name: 'f', fence: fenceAt('accept') }),
      row({ name: 'g', ...own, fence: NO_FENCE }),
      row({ name: 'h', ...own, ambiguous: true }),
      row({ name: 'i', address: '10.0.0.7', ...own, state: 'dead' }),
      dnsRow({ address: '10.0.0.8' }),
      row({ name: 'j', fence: undefined }),
      row({ name: 'k', fence: undefined, admitted: false }),
      row({ name: 'l', fence: { outcome: 'unknown', problem: 'redirected', atMs: NOW_MS } }),
      row({ name: 'm', fence: fenceAt('enforce', { starting: true }) }),
      row({ name: undefined, state: undefined, address: '10.0.3.10', ...own, fence: undefined }),
    ],
    { stage: 'label' },
  );
  t.strictSame(said('enforce', known), [
    'unsafe',
    ['sends_unlabelled', true, '10.0.3.9: sent 14 unlabelled packets in the last 10 min'],
    ['sends_unlabelled', true, 'b 10.0.0.1: sent 1 unlabelled packet in the last 1 s (its fence is at accept)'],
    ['fence_behind', true, 'f 10.0.0.1: its fence is at accept'],
    ['never_seen', false, '10.0.0.8: in DNS, never seen'],
    [
      'sends_unlabelled',
      false,
      'c 10.0.0.1: sent 14 unlabelled packets in the last 10 min, none for 3 min (its fence is at label)',
    ],
    ['sends_unlabelled', false, 'd 10.0.0.1: sent 14 unlabelled packets in the last 10 min, none for 3 min'],
    [
      'ambiguous',
      false,
      'e 10.0.0.1: shares its address with others, and there came 14 unlabelled packets in the last 10 min',
    ],
    ['not_heard', false, 'g 10.0.0.1: sent nothing with the label in the last 10 min'],
    ['ambiguous', false, 'h 10.0.0.1: shares its address with others, so that what is seen there proves nothing'],
    ['not_heard', false, 'i 10.0.0.7: dead by gossip, sent nothing with the label in the last 10 min'],
    ['fence_unknown', false, 'j 10.0.0.1: its fence is unknown: it was not asked yet'],
    ['fence_unknown', false, 'k 10.0.0.1: its fence is unknown: it is not admitted, so it is not asked'],
    ['fence_unknown', false, 'l 10.0.0.1: its fence is unknown: its admin API redirects'],
    ['fence_unknown', false, 'm 10.0.0.1: its fence is starting'],
  ]);
  const { notes } = readiness('enforce', known);
  t.strictSame(notes, [
    'Half-labelled ring: 7 of 11 members sent the label in the last 10 min.',
    '2 members answer at no admin API: they are bare, or their fences cannot be asked.',
  ]);
  const native = { sends: 'own', takes: 'own', wire: 'own' } as const;
  t.strictSame(said('enforce', situation([row({ fence: fenceAt('accept') })], { stage: 'label', dialects: native })), [
    'unknown',
    ['fence_behind', false, 'm-1 10.0.0.1: its fence is at accept'],
  ]);
});

t.test('what is not known of the ring as a whole', async (t) => {
  const lost = {
    tableMs: 0,
    watchedSinceMs: NOW_MS - 9 * MINUTE_MS,
    peersEvictedMs: NOW_MS - 1,
    membersEvictedMs: NOW_MS - 1,
    dnsUnknown: ['ring.example'],
  };
  const table = (text: string) => ['members_unknown', false, text];
  const rest = [
    ['memory_evicted', false, 'the table of members was full lately and forgot some before their time'],
    ['dns_unknown', false, 'DNS has not answered for ring.example yet'],
  ];
  const nothing = table('no full member table was seen yet: it comes with the next push/pull');
  t.strictSame(said('accept', situation([row()], { ...lost, stage: 'observe' })), ['unknown', nothing, ...rest]);
  t.strictSame(said('enforce', situation([row()], { ...lost, stage: 'label' })), [
    'unknown',
    nothing,
    ...rest,
    ['window_short', false, 'the fence has to watch for 10 min (memory.window), 60 s more'],
    ['memory_evicted', false, 'the memory of peers was full lately and forgot some before their time (memory.peers)'],
  ]);
  t.strictSame(said('label', situation([row()], { tableMs: NOW_MS - WINDOW_MS - 1 })), [
    'unknown',
    table('no full member table was seen in the last 10 min: it comes with the next push/pull'),
  ]);
  t.strictSame(said('label', situation([row()], { inspects: false })), [
    'unknown',
    table('inspection is off (limits.inspectBytesPerSecond: 0): members are unknown'),
  ]);
});

t.test('foreigners, and the dead whose place is taken, are noted and not waited for', async (t) => {
  const silent = probe(LEG.silent);
  const foreign = Array.from({ length: 7 }, (_, i) =>
    row({ name: `x-${i}`, address: `10.0.1.${i}`, probe: silent, foreignLabel: new TextEncoder().encode('b\n') }),
  );
  const dead = row({ name: 'old', state: 'dead', probe: silent });
  const known = situation([row(), dead, ...foreign]);
  t.equal(readiness('label', known).readiness, 'safe');
  t.strictSame(readiness('label', known).notes, [
    ...[0, 1, 2, 3, 4].map((i) => `foreign x-${i} 10.0.1.${i} label "b\\x0a": the step cuts it, as it should`),
    'and 2 more like the last',
    'old 10.0.0.1 is dead, and another member has its address now',
  ]);
  const taken = situation([row({ foreignLabel: new Uint8Array([1]) }), dead]);
  t.equal(readiness('label', taken).readiness, 'unknown', 'a foreigner that has its address is no reason');
});

t.test('several steps at once must meet the conditions of each', async (t) => {
  const bare = row({ admitted: false, probe: probe(LEG.silent), ownMs: 0, fence: NO_FENCE });
  const step = readiness('enforce', situation([bare, dnsRow({ address: '10.0.0.9' })], { stage: 'observe' }));
  t.strictSame(
    step.against.map(({ code, address }) => [code, address]),
    [
      ['not_admitted', '10.0.0.1'],
      ['never_seen', '10.0.0.9'],
      ['not_heard', '10.0.0.1'],
    ],
    'what two steps say of one member is said once',
  );
  t.strictSame(said('accept', situation([bare])), ['safe'], 'to where it is');
});

t.test('down: only evidence is unsafe', async (t) => {
  const at = (stage: Stage, change: Partial<Situation> = {}) => ({ stage, ...change });
  t.strictSame(said('label', situation([row({ probe: undefined, fence: undefined })], at('enforce'))), ['safe']);
  const ahead = row({ fence: fenceAt('enforce') });
  t.strictSame(said('label', situation([ahead], at('enforce'))), ['safe']);
  t.strictSame(said('accept', situation([ahead], at('label'))), [
    'unsafe',
    ['fence_ahead', true, 'm-1 10.0.0.1: its fence is at enforce, more than one stage above accept'],
  ]);
  const native = { dialects: { sends: 'own', takes: 'own', wire: 'own' } } as const;
  t.strictSame(said('accept', situation([ahead, row({ fence: NO_FENCE })], at('label', native))), [
    'unknown',
    ['fence_ahead', false, 'm-1 10.0.0.1: its fence is at enforce, more than one stage above accept'],
  ]);
  const bare = (change: object) => situation([row({ fence: NO_FENCE, ...change })], at('label'));
  const labelled =
    'sends the label and has no fence that answers: it may take no unlabelled frames, nor the app its own';
  t.strictSame(said('accept', bare({})), ['unsafe', ['bare_labelled', true, `m-1 10.0.0.1: ${labelled}`]]);
  t.strictSame(said('accept', bare({ fenced: true })), [
    'unknown',
    ['fence_unknown', false, 'm-1 10.0.0.1: its fence is unknown: its admin API cannot be reached'],
  ]);
  const sent = { count: 2, sinceMs: NOW_MS - SECOND_MS, lastMs: NOW_MS - SECOND_MS };
  t.strictSame(said('accept', bare({ ownMs: 0, unlabelled: sent })), ['safe']);
  t.strictSame(said('accept', bare({ ownMs: 0 })), [
    'unknown',
    ['not_heard', false, 'm-1 10.0.0.1: not heard in the last 10 min: it may take no unlabelled frames'],
  ]);
  t.match(said('accept', situation([row({ fence: undefined })], at('label', { tableMs: 0 }))), [
    'unknown',
    ['members_unknown', false],
    ['fence_unknown', false],
  ]);
  const both = { dialects: { sends: 'none', takes: 'any', wire: 'none' } } as const;
  t.strictSame(said('observe', situation([row({ fence: NO_FENCE })], at('accept', both))), ['safe']);
  const strict = { dialects: { sends: 'own', takes: 'own', wire: 'own' } } as const;
  t.strictSame(said('observe', situation([row({ unlabelled: sent })], at('accept', strict))), [
    'unsafe',
    ['sends_unlabelled', true, 'm-1 10.0.0.1: sent unlabelled packets, the last 1 s ago: the app itself takes none'],
  ]);
  t.strictSame(said('observe', situation([row()], at('accept'))), [
    'unsafe',
    ['fence_ahead', true, 'm-1 10.0.0.1: its fence is at label, more than one stage above observe'],
  ]);
});

t.test('a list is bounded, who is cut stands first', async (t) => {
  const bare = Array.from({ length: AGAINST_MAX + 50 }, (_, i) => row({ name: `m-${i}`, probe: undefined }));
  const step = readiness('label', situation([...bare, row({ name: 'z', probe: probe(LEG.silent) })]));
  t.equal(step.against.length, AGAINST_MAX);
  t.equal(step.againstTotal, AGAINST_MAX + 51);
  t.equal(step.against[0]?.name, 'z');
});

t.test('texts', async (t) => {
  t.strictSame([1, 1_001, 119_000, 120_000, 600_001, 7_200_000].map(spanText), [
    '1 s',
    '2 s',
    '119 s',
    '2 min',
    '11 min',
    '2 h',
  ]);
  t.strictSame(Object.keys(FENCE_PROBLEM_TEXTS), [...FENCE_PROBLEMS]);
  t.equal(new Set(AGAINST_CODES).size, AGAINST_CODES.length);
});

t.test('enforce: who sent the label and drops it since is who it was no more', async (t) => {
  const silentSinceMs = NOW_MS - 60 * SECOND_MS;
  const silent = probe({ ...LEG.silent, silentSinceMs });
  const before = { ownMs: silentSinceMs - 1, fence: NO_FENCE };
  const at = (change: Parameters<typeof row>[0]) => said('enforce', situation([row(change)], { stage: 'label' }));
  const text = 'm-1 10.0.0.1: sent the label, and has dropped labelled pings since';
  t.strictSame(at({ ...before, probe: silent }), ['unknown', ['drops_labelled', false, text]]);
  t.strictSame(at({ ...before, probe: { packet: undefined, stream: silent.stream } }), [
    'unknown',
    ['drops_labelled', false, text],
  ]);
  t.strictSame(at({ ...before, probe: { packet: silent.packet, stream: LEG.answered } }), ['safe'], 'one way is lost');
  t.strictSame(at({ ...before, ownMs: silentSinceMs, probe: silent }), ['safe'], 'it still sends it');
  t.strictSame(at({ ...before, probe: undefined }), ['safe'], 'nobody asked');
});
