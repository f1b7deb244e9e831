/** The flood filter against the policy, and the kernel against the interpreter. */
import fc from 'fast-check';
import t from 'tap';
import { stateOfLabel } from '../../../src/datapath/judge.ts';
import { INSTRUCTION_BYTES, INSTRUCTIONS_MAX } from '../../../src/datapath/linux/classic-bpf.ts';
import { BLOCKED_MAX, buildFloodFilter, type FloodFilter } from '../../../src/datapath/linux/flood-filter.ts';
import { droppable } from '../../../src/datapath/linux/flood-rules.ts';
import { type AdmissionRules, createAdmission, NO_ADMISSION_RULES, parseCidr } from '../../../src/policy/admission.ts';
import { createSnapshot, decide, type PolicySettings } from '../../../src/policy/decide.ts';
import type { FrameState } from '../../../src/policy/facts.ts';
import { STAGES } from '../../../src/policy/stage.ts';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';
import { encodeLabelHeader, peekPacketLabel } from '../../../src/wire/label.ts';
import { PROPERTY } from '../../property.ts';
import { letsIn } from './bpf-kit.ts';

const SURE_TO_DROP = 0xffff_ffff;
const OUTSIDE = 2;
const LOOPBACK = 1;
const OWN = Buffer.from('own');

const bytes = (text: string) => parseAddress(text) as Uint8Array;
/** As it stands in an IP header. */
const wire = (text: string) => (text.includes(':') ? bytes(text) : bytes(text).subarray(12));
const stateOf = (payload: Uint8Array, label: Uint8Array): FrameState => {
  const peeked = peekPacketLabel(payload);
  return peeked.ok ? stateOfLabel(peeked.value.label, label) : peeked.reason;
};

const v4 = fc.tuple(fc.nat(3), fc.nat(3)).map(([a, b]) => `10.0.${a}.${b}`);
const v6 = fc.tuple(fc.nat(1), fc.nat(2), fc.nat(3)).map(([a, b, c]) => `fd00:${a}::${b}:${c}`.replace('::0:', '::'));
const address = fc.oneof(v4, v6).map((text) => formatAddress(bytes(text)));
const labels = fc.uint8Array({ minLength: 1, maxLength: 255 });
const cidr = fc
  .oneof(
    fc.tuple(v4, fc.integer({ min: 0, max: 32 })),
    fc.tuple(v6, fc.integer({ min: 0, max: 128 })),
    fc.tuple(
      v4.map((text) => `::ffff:${text}`),
      fc.integer({ min: 90, max: 128 }),
    ),
  )
  .map(([text, prefix]) => parseCidr(`${text}/${prefix}`) as NonNullable<ReturnType<typeof parseCidr>>);
const admission: fc.Arbitrary<AdmissionRules> = fc.record({
  cidrs: fc.array(cidr, { maxLength: 4 }),
  byDns: fc.boolean(),
  dns: fc.array(address, { maxLength: 4 }),
  byName: fc.boolean(),
  misnamed: fc.array(address, { maxLength: 4 }),
  shared: fc.array(address, { maxLength: 4 }),
});
const policy: fc.Arbitrary<PolicySettings> = fc.record({
  stage: fc.constantFrom(...STAGES),
  sends: fc.constantFrom('none', 'own'),
  takes: fc.constantFrom('none', 'own', 'any'),
  wire: fc.constantFrom('none', 'own'),
  unterminatedTls: fc.constantFrom('pass', 'reject'),
  shield: fc.boolean(),
});
/** Payloads near the own label: its header, cut, changed, doubled; and anything. */
const payloadFor = (label: Uint8Array) => {
  const header = encodeLabelHeader(label);
  return fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 20 }).map((rest) => Uint8Array.from([244, ...rest])),
    fc.uint8Array({ maxLength: 40 }).map((rest) => Buffer.concat([header, rest])),
    fc.uint8Array({ maxLength: 40 }).map((rest) => Buffer.concat([header, header, rest])),
    fc.nat(header.length).map((size) => header.subarray(0, size)),
    fc.tuple(fc.nat(header.length - 1), fc.nat(255), fc.uint8Array({ maxLength: 400 })).map(([at, value, rest]) => {
      const changed = Buffer.concat([header, rest]);
      changed[at] = value;
      return changed;
    }),
    labels.map((other) => Buffer.concat([encodeLabelHeader(other), Buffer.from('body')])),
  );
};
const scene = labels.chain((label) =>
  fc.record({
    label: fc.constant(label),
    payload: payloadFor(label),
    source: address,
    fromApp: fc.boolean(),
    policy,
    admission,
    starting: fc.boolean(),
    flooders: fc.array(address, { maxLength: 20 }),
    proven: fc.boolean(),
    foreign: fc.boolean(),
    transparent: fc.boolean(),
  }),
);

t.test('never drops what the fence would pass, and always what carries a foreign or broken label', async (t) => {
  let drops = 0;
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(scene, (s) => {
        const unlabelled = droppable({ policy: s.policy, admission: s.admission, starting: s.starting }, s.flooders);
        if (unlabelled === undefined) return s.starting || s.policy.stage === 'observe';
        const outbound = s.transparent && s.fromApp;
        const filter = { label: s.label, unlabelled, samplePerThousand: 0, loopbackPasses: s.transparent };
        const passes = letsIn(buildFloodFilter(filter), {
          payload: s.payload,
          source: wire(s.source),
          interfaceIndex: outbound ? LOOPBACK : OUTSIDE,
          random: SURE_TO_DROP,
        });
        const state = stateOf(s.payload, s.label);
        const admitted = createAdmission(s.admission).admits(s.source);
        const view = { admitted, proven: s.proven, foreign: s.foreign };
        const facts = { direction: outbound ? ('outbound' as const) : ('inbound' as const), state };
        if (passes) return outbound || state === 'own' || state === 'none';
        drops++;
        const { reason } = decide(facts, view, createSnapshot(s.policy));
        // Who DNS may name in a moment waits for it; a listed flooder does not.
        const mayWait = reason === 'peer_not_admitted' && s.admission.byDns && !s.flooders.includes(s.source);
        return !outbound && reason !== undefined && !mayWait;
      }),
      PROPERTY,
    ),
  );
  t.ok(drops > PROPERTY.numRuns / 20, `${drops} were dropped`);
});

t.test('a listed source is dropped, whichever others are listed; one that is not is let in', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uniqueArray(address, { minLength: 1, maxLength: 30 }), address, (sources, source) => {
        const program = buildFloodFilter(fromSources(sources));
        const passes = letsIn(program, seen(Buffer.from('?'), source));
        return passes === !sources.includes(source);
      }),
      PROPERTY,
    ),
  );
});

t.test('networks: whoever is outside of all of them is dropped', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(cidr, { minLength: 1, maxLength: 6 }), address, (cidrs, source) => {
        const rules = { ...NO_ADMISSION_RULES, cidrs };
        const unlabelled = droppable(
          { policy: { ...SETTINGS, stage: 'accept' }, admission: rules, starting: false },
          [],
        );
        if (unlabelled?.kind !== 'outside') return false;
        const program = buildFloodFilter({ label: OWN, unlabelled, samplePerThousand: 0, loopbackPasses: false });
        return letsIn(program, seen(Buffer.from('?'), source)) === createAdmission(rules).admits(source);
      }),
      PROPERTY,
    ),
  );
});

t.test('bounds', async (t) => {
  const many = (n: number, make: (i: number) => string) => Array.from({ length: n }, (_, i) => make(i));
  const sources = [
    ...many(1_000, (i) => `10.${i >> 8}.${i & 255}.1`),
    ...many(1_000, (i) => `fd00::${i.toString(16)}:1`),
  ];
  const program = buildFloodFilter({ ...fromSources(sources), label: Buffer.alloc(255, 0xf4) });
  t.ok(program.length / INSTRUCTION_BYTES <= INSTRUCTIONS_MAX, `${program.length / INSTRUCTION_BYTES} instructions`);
  const dropped = sources.filter((source) => !letsIn(program, seen(Buffer.from('?'), source)));
  t.equal(dropped.length, BLOCKED_MAX[4] + BLOCKED_MAX[6], 'what is beyond the bound is let in');
  t.throws(() => buildFloodFilter({ ...fromSources([]), samplePerThousand: 1_001 }), RangeError);
  t.throws(() => buildFloodFilter({ ...fromSources([]), label: Buffer.alloc(0) }), RangeError);
  const network = { address: bytes('10.0.0.0'), prefix: 104 };
  const unlabelled = { kind: 'outside', networks: Array(65).fill(network) } as const;
  t.throws(() => buildFloodFilter({ ...fromSources([]), unlabelled }), RangeError);
});

t.test('the sampling hole', async (t) => {
  const foreign = Buffer.concat([encodeLabelHeader(Buffer.from('theirs')), Buffer.from('x')]);
  const share = (samplePerThousand: number) => {
    const program = buildFloodFilter({ ...fromSources([]), samplePerThousand });
    let through = 0;
    for (let i = 0; i < 10_000; i++) {
      const random = Math.floor(((i + 0.5) / 10_000) * 2 ** 32);
      if (letsIn(program, { ...seen(foreign, '10.0.0.1'), random })) through++;
    }
    return through;
  };
  t.equal(share(0), 0);
  t.equal(share(1), 10);
  t.equal(share(250), 2_500);
  t.equal(share(1_000), 10_000);
});

t.test('who cannot be told by networks is told by address, and never who is admitted', async (t) => {
  const cidrs = [parseCidr('10.0.0.0/8') as NonNullable<ReturnType<typeof parseCidr>>];
  const accept = { ...SETTINGS, stage: 'accept' } as const;
  const by = (rules: Partial<AdmissionRules>) =>
    droppable({ policy: accept, admission: { ...NO_ADMISSION_RULES, ...rules }, starting: false }, [
      '10.1.1.1',
      'fd00::1',
      '192.0.2.1',
    ]);
  t.same(by({}), { kind: 'none' }, 'everyone is admitted');
  t.same(by({ cidrs, byDns: true, dns: ['fd00::1'] }), { kind: 'from', sources: [bytes('192.0.2.1')] });
  t.match(by({ cidrs: Array(65).fill(cidrs[0]) }), { kind: 'from' }, 'more networks than the filter holds');
});

const SETTINGS: PolicySettings = {
  stage: 'enforce',
  sends: 'none',
  takes: 'none',
  wire: 'none',
  unterminatedTls: 'reject',
  shield: true,
};

function fromSources(sources: readonly string[]): FloodFilter {
  const unlabelled = { kind: 'from', sources: sources.map(bytes) } as const;
  return { label: OWN, unlabelled, samplePerThousand: 0, loopbackPasses: false };
}

function seen(payload: Uint8Array, source: string) {
  return { payload, source: wire(source), interfaceIndex: OUTSIDE, random: SURE_TO_DROP };
}
