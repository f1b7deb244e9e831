import t from 'tap';
import { composeEvidence, type EvidenceParts } from '../../src/cli/evidence.ts';
import { type Cidr, createAdmission, NO_ADMISSION_RULES, parseCidr } from '../../src/policy/admission.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createPeerTable, peerTableBytes } from '../../src/ring/peers.ts';
import { createRing } from '../../src/ring/ring.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { fenceAt, LEG, probe } from '../ring/evidence-rows.ts';
import { alive, appFrame, frame, START_MS } from '../ring/frames.ts';

const WINDOW_MS = 10_000;
const memory = { peers: 100, windowMs: WINDOW_MS, foreignMs: 1_000 };
const EVERYONE = createAdmission(NO_ADMISSION_RULES);
const NONE = { sends: 'none', takes: 'none', wire: 'none' } as const;
const bytes = (address: string) => parseAddress(address) as Uint8Array;

function compose(change: Partial<EvidenceParts> = {}) {
  let nowMs = START_MS;
  let stage: Stage = 'accept';
  const peers = createPeerTable(new SharedArrayBuffer(peerTableBytes(100)), memory);
  const isLocal = (address: string) => address === '10.0.0.100';
  const identity = { cidrs: [], names: [] };
  const ring = createRing({ startedMs: START_MS, identity, graceMs: 0, proven: () => false, isLocal });
  const asked: number[] = [];
  const evidence = composeEvidence({
    memory,
    probeIntervalMs: () => 1_000,
    stage: () => stage,
    dialects: () => NONE,
    admission: () => EVERYONE,
    now: () => nowMs,
    ring,
    peers,
    dns: {
      listed: () => ['10.0.0.9'],
      leaves: () => false,
      names: () => [
        { name: 'a\n', lastSuccessMs: 0 },
        { name: 'b', lastSuccessMs: 5 },
      ],
    },
    probe: ({ address }) => {
      asked.push(nowMs);
      return address === '10.0.0.1' ? probe({ ...LEG.answered, answeredMs: nowMs }) : undefined;
    },
    fence: ({ name }) => (name === 'b-1' ? fenceAt('observe') : undefined),
    fenceAsked: () => true,
    local: { has: isLocal, port: 7946 },
    sealedWithoutKeys: () => false,
    ...change,
  });
  const at = (ms: number, to: Stage = stage) => {
    nowMs = START_MS + ms;
    stage = to;
  };
  return { ring, peers, evidence, asked, at };
}

t.test('every source is in it, at most a second old, and never of another stage', async (t) => {
  const { ring, peers, evidence, asked, at } = compose();
  ring.message(frame(), alive('a-1'));
  ring.message(frame(), alive('b-1', '10.0.0.2'));
  ring.message(appFrame(), alive('me', '10.0.0.100'));
  peers.unlabelled(bytes('10.0.0.3'), START_MS);
  t.equal(ring.app(), 'me');
  t.strictSame(
    evidence
      .evidence()
      .map(({ name, address }) => name ?? address)
      .sort(),
    ['10.0.0.3', '10.0.0.9', 'a-1', 'b-1'],
  );
  t.match(evidence.situation(), {
    dnsUnknown: ['a\\x0a'],
    hasRules: false,
    inspects: true,
    answerLifeMs: 30_000,
    tableMs: 0,
  });
  const label = evidence.step('label');
  t.equal(evidence.step('label'), label, 'kept');
  t.equal(evidence.removable(), evidence.removable(), 'as are the others');
  t.equal(evidence.fallbacks(), evidence.fallbacks());
  const before = asked.length;
  at(999);
  t.equal(evidence.step('label'), label);
  t.equal(asked.length, before);
  at(999, 'label');
  t.match(evidence.situation(), { stage: 'label' });
  at(2_500);
  t.not(evidence.step('enforce'), label);
  t.ok(asked.length > before);
});

t.test('whom to ask: members of ours, pings only where a step waits for them', async (t) => {
  const { ring, evidence, at } = compose();
  ring.message(frame(), alive('a-1'));
  ring.message(frame(), alive('b-1', '10.0.0.2'));
  const names = (targets: readonly { name: string | undefined }[]) => targets.map(({ name }) => name ?? '-').sort();
  t.strictSame(names(evidence.targets()), ['-', 'a-1', 'b-1']);
  t.strictSame(names(evidence.pingTargets()), ['-', 'a-1'], 'a fence at observe drops them, as is known');
  at(0, 'observe');
  t.strictSame(evidence.pingTargets(), []);
});

t.test('nobody is pinged before its fence was asked, and what it said then counts at once', async (t) => {
  const answers = new Map<string, ReturnType<typeof fenceAt> | undefined>();
  const { ring, evidence } = compose({
    fence: ({ address }) => answers.get(address),
    fenceAsked: (address) => answers.has(address),
  });
  ring.message(frame(), alive('a-1'));
  ring.message(frame(), alive('b-1', '10.0.0.2'));
  t.strictSame(evidence.pingTargets(), []);
  answers.set('10.0.0.1', undefined).set('10.0.0.2', fenceAt('observe'));
  t.match(evidence.pingTargets(), [{ name: 'a-1', promising: false }]);
  answers.set('10.0.0.2', fenceAt('accept'));
  t.match(evidence.pingTargets(), [{ name: 'a-1' }, { name: 'b-1', promising: true }]);
});

t.test('what memory lost is known, and what inspection never saw', async (t) => {
  let lost = 0;
  const ring = {
    members: () => [],
    tableMs: () => START_MS,
    evictions: () => ({ members: lost, own_tuples: 0, foreign_tuples: 0, addresses: 0, kv_keys: 0, instances: 0 }),
  };
  const { evidence, at } = compose({ ring });
  t.equal(evidence.situation().membersEvictedMs, 0);
  lost = 1;
  at(2_000);
  t.equal(evidence.situation().membersEvictedMs, START_MS + 2_000);
  at(4_000);
  t.equal(evidence.situation().membersEvictedMs, START_MS + 2_000);
  const full = compose({ peers: { records: () => [], lastLossMs: () => START_MS + 100 } });
  full.at(500, 'label');
  const said = full.evidence.step('enforce').against.map(({ code, text }) => `${code}: ${text}`);
  t.ok(
    said.some((text) => /^memory_evicted: the memory of peers was full/.test(text)),
    `${said}`,
  );
  t.match(
    compose({ ring: undefined })
      .evidence.step('label')
      .against.map(({ code }) => code),
    ['members_unknown'],
  );
});

t.test('fall-backs, shared addresses and whether the fence could go', async (t) => {
  const { ring, peers, evidence } = compose();
  ring.message(frame(), alive('a-1'));
  ring.message(frame(), alive('c', '10.0.0.4'));
  ring.message(frame(), alive('d', '10.0.0.4', { Port: 7947 }));
  peers.learn(bytes('10.0.0.1'), 'own', START_MS - 500);
  peers.learn(bytes('10.0.0.1'), 'none', START_MS - 100);
  t.strictSame(evidence.fallbacks(), [{ name: 'a-1', address: '10.0.0.1', lastMs: START_MS - 100 }]);
  t.equal(evidence.ambiguous(), 1);
  t.match(evidence.removable(), { yes: false, why: /app\.sends/ });
});

t.test('rules that were just taken are judged by what they say, not by what was said before', async (t) => {
  let admission = EVERYONE;
  let dialects: ReturnType<EvidenceParts['dialects']> = NONE;
  const { ring, evidence, at } = compose({ admission: () => admission, dialects: () => dialects });
  ring.message(frame(), alive('a-1'));
  at(0, 'observe');
  const codes = () => evidence.step('accept').against.map(({ code, name }) => `${code} ${name ?? '-'}`);
  t.notOk(codes().includes('not_admitted a-1'));
  admission = createAdmission({ ...NO_ADMISSION_RULES, cidrs: [parseCidr('192.0.2.0/24') as Cidr] });
  t.ok(codes().includes('not_admitted a-1'));
  dialects = { ...NONE, wire: 'own' };
  t.equal(evidence.situation().dialects, dialects);
});
