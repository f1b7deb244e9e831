// Packets below the label: what the keys open, what the shield sees then, and what is sealed anew for whom. The forms are written out
// by hand from the design: towards the app its own, towards the wire a native member's, with `reseal` only.
import t from 'tap';
import type { FenceContext } from '../../src/datapath/engine.ts';
import { type Inside, NO_INSIDE } from '../../src/datapath/inside.ts';
import { createPacketGate } from '../../src/datapath/packet-gate.ts';
import { createPacketPeer } from '../../src/datapath/packet-peer.ts';
import type { PolicySettings } from '../../src/policy/decide.ts';
import type { Direction } from '../../src/policy/facts.ts';
import type { Stage } from '../../src/policy/stage.ts';
import { createQuarantine, NO_QUARANTINE_RULES } from '../../src/ring/quarantine.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { createKeyring, openPacket, type SealForm, sealPacket } from '../../src/wire/encryption.ts';
import { addPacketLabel, encodeLabelHeader } from '../../src/wire/label.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { FOREIGN, makeContext, OWN, rejected, type TestContext, throughGate } from './harness.ts';

const key = (fill: number) => new Uint8Array(32).fill(fill);
const KEYS = createKeyring([key(1), key(2)]);
const STRANGER = createKeyring([key(9)]);
const HEADER = encodeLabelHeader(OWN);
const NONE = new Uint8Array(0);
const PEER = { address: '127.0.0.1', port: 7946 };
/** An ackResp of a member. */
const ACK = Buffer.from('0282a55365714e6f01a75061796c6f6164a0', 'hex');

const seal = (form: SealForm, plain: Uint8Array = ACK, version: 0 | 1 = 1, index = 1, ring = KEYS) =>
  sealPacket(ring, plain, form === 'label' ? OWN : NONE, version, index);
const labelled = (body: Uint8Array, label: Uint8Array = OWN) => addPacketLabel(body, encodeLabelHeader(label));

interface Scene extends TestContext {
  readonly context: FenceContext;
  readonly offered: { source: FrameSource; bytes: Uint8Array }[];
  pass(packet: Uint8Array, direction: Direction): Uint8Array | undefined;
}

function scene(policy: Partial<PolicySettings> = {}, inside: Partial<Inside> = {}): Scene {
  const made = makeContext(policy);
  const offered: Scene['offered'] = [];
  const packet = (source: FrameSource, memory: Uint8Array, at: number, end: number) =>
    void offered.push({ source, bytes: memory.subarray(at, end) });
  const context = {
    ...made.context,
    inside: { ...NO_INSIDE, keyring: () => KEYS, room: () => true, packet, ...inside },
  };
  return {
    ...made,
    context,
    offered,
    pass: (bytes, direction) => throughGate(context, bytes, direction, PEER),
  };
}

/** The sums of the seal counters as short lines. */
function seals({ reading }: TestContext): string[] {
  const { sealed, resealed } = reading();
  return [
    ...sealed.filter(({ value }) => value > 0).map((row) => `${row.direction} ${row.outcome} ${row.value}`),
    ...resealed.filter(({ value }) => value > 0).map((row) => `${row.direction} resealed ${row.value}`),
  ];
}

interface Case {
  readonly name: string;
  readonly policy: Partial<PolicySettings>;
  readonly direction: Direction;
  readonly reseal: boolean;
  /** What is sent: whether it has the label header, and its form. */
  readonly sent: readonly [boolean, SealForm];
  readonly wanted: readonly [boolean, SealForm];
}

const OLD = { sends: 'none', takes: 'none', wire: 'none' } as const;
const NATIVE = { sends: 'own', takes: 'own', wire: 'own' } as const;
const SKIPS = { sends: 'own', takes: 'none', wire: 'own' } as const;

const CASES: readonly Case[] = [
  ...([true, false] as const).flatMap((reseal): Case[] => [
    {
      ...{ name: 'a native peer to an old app', policy: { ...OLD, stage: 'label' }, direction: 'inbound', reseal },
      ...{ sent: [true, 'label'], wanted: [false, 'empty'] },
    },
    {
      ...{
        name: 'a fenced old peer to an old app',
        policy: { ...OLD, stage: 'enforce' },
        direction: 'inbound',
        reseal,
      },
      ...{ sent: [true, 'empty'], wanted: [false, 'empty'] },
    },
    {
      ...{
        name: 'a fenced old peer to a native app',
        policy: { ...NATIVE, stage: 'enforce' },
        direction: 'inbound',
        reseal,
      },
      ...{ sent: [true, 'empty'], wanted: [true, 'label'] },
    },
    {
      ...{
        name: 'a bare old peer to a native app',
        policy: { ...NATIVE, stage: 'accept' },
        direction: 'inbound',
        reseal,
      },
      ...{ sent: [false, 'empty'], wanted: [true, 'label'] },
    },
    {
      ...{
        name: 'a native peer to an app that skips the check',
        policy: { ...SKIPS, stage: 'enforce' },
        direction: 'inbound',
        reseal,
      },
      ...{ sent: [true, 'label'], wanted: [false, 'label'] },
    },
    {
      ...{
        name: 'a native frame whose header a fence without keys took off',
        policy: { ...OLD, stage: 'accept' },
        direction: 'inbound',
        reseal,
      },
      ...{ sent: [false, 'label'], wanted: [false, 'empty'] },
    },
    {
      ...{ name: 'an old app to bare old peers', policy: { ...OLD, stage: 'accept' }, direction: 'outbound', reseal },
      ...{ sent: [false, 'empty'], wanted: [false, 'empty'] },
    },
    {
      ...{
        name: 'a native app to native peers',
        policy: { ...NATIVE, stage: 'enforce' },
        direction: 'outbound',
        reseal,
      },
      ...{ sent: [true, 'label'], wanted: [true, 'label'] },
    },
  ]),
  {
    ...{
      name: 'an old app to the wire, sealed anew',
      policy: { ...OLD, stage: 'label' },
      direction: 'outbound',
      reseal: true,
    },
    ...{ sent: [false, 'empty'], wanted: [true, 'label'] },
  },
  {
    ...{
      name: 'an old app to the wire, as it is',
      policy: { ...OLD, stage: 'label' },
      direction: 'outbound',
      reseal: false,
    },
    ...{ sent: [false, 'empty'], wanted: [true, 'empty'] },
  },
  {
    ...{
      name: 'a native app to an old wire, sealed anew',
      policy: { ...NATIVE, wire: 'none', stage: 'accept' },
      direction: 'outbound',
      reseal: true,
    },
    ...{ sent: [true, 'label'], wanted: [false, 'empty'] },
  },
  {
    ...{
      name: 'a native app to an old wire, as it is',
      policy: { ...NATIVE, wire: 'none', stage: 'accept' },
      direction: 'outbound',
      reseal: false,
    },
    ...{ sent: [true, 'label'], wanted: [false, 'label'] },
  },
];

t.test('every reader gets the form that it opens', async (t) => {
  for (const { name, policy, direction, reseal, sent, wanted } of CASES) {
    for (const version of [0, 1] as const) {
      const made = scene(policy, { reseal: () => reseal });
      const [header, form] = sent;
      const body = seal(form, ACK, version);
      const out = made.pass(header ? labelled(body) : body, direction);
      const title = `${name}, version ${version}, reseal ${reseal ? 'on' : 'off'}`;
      const prefix = wanted[0] ? HEADER.length : 0;
      t.strictSame(out?.subarray(0, prefix), wanted[0] ? Buffer.from(HEADER) : Buffer.alloc(0), `${title}: header`);
      const rest = out?.subarray(prefix) ?? NONE;
      t.equal(rest.length, body.length, `${title}: as long as it was`);
      const aad = wanted[1] === 'label' ? OWN : NONE;
      const opened = openPacket(KEYS, rest, aad);
      t.match(opened, { ok: true, value: { plain: ACK, version, key: 1, form: wanted[1] } }, `${title}: form`);
      if (form === wanted[1]) t.strictSame(rest, Buffer.from(body), `${title}: not a byte of it changed`);
      else t.notSame(rest.subarray(1, 13), body.subarray(1, 13), `${title}: a nonce of its own`);
      t.match(made.offered, [{ source: { rejected: false }, bytes: body }], `${title}: offered as it came`);
    }
  }
});

t.test('what is counted', async (t) => {
  const made = scene({ stage: 'label' }, { reseal: () => true });
  made.pass(labelled(seal('label')), 'inbound');
  made.pass(labelled(seal('empty')), 'inbound');
  made.pass(seal('empty'), 'outbound');
  made.pass(labelled(seal('label', ACK, 1, 0, STRANGER)), 'inbound');
  made.pass(ACK, 'inbound');
  t.strictSame(seals(made), [
    'inbound label 1',
    'inbound empty 1',
    'inbound no_key 1',
    'outbound empty 1',
    'inbound resealed 1',
    'outbound resealed 1',
  ]);
});

t.test('what no key opens passes as it is, and so does plaintext', async (t) => {
  const made = scene({ stage: 'label' }, { reseal: () => true });
  const strange = seal('label', ACK, 1, 0, STRANGER);
  t.strictSame(made.pass(labelled(strange), 'inbound'), Buffer.from(strange));
  t.strictSame(made.pass(strange, 'outbound'), Buffer.from(labelled(strange)));
  t.strictSame(made.pass(labelled(ACK), 'inbound'), ACK);
  t.strictSame(rejected(made.reading()), {});
});

t.test('observe touches nothing, and neither does a fence without keys', async (t) => {
  const frames = [labelled(seal('empty')), labelled(seal('label')), seal('empty'), labelled(seal('label'), FOREIGN)];
  const observing = scene({ stage: 'observe' }, { reseal: () => true });
  for (const packet of frames) {
    for (const direction of ['inbound', 'outbound'] as const) {
      t.strictSame(observing.pass(packet, direction), Buffer.from(packet), `observe ${direction}`);
    }
  }
  const blind = scene({ stage: 'label' }, { keyring: () => undefined, reseal: () => true });
  t.strictSame(blind.pass(labelled(seal('label')), 'inbound')?.length, seal('label').length);
  t.strictSame(seals(blind), []);
});

t.test('without keys a passing packet is the same memory', async (t) => {
  const { context } = scene({ stage: 'label' }, { keyring: () => undefined });
  const packet = labelled(ACK);
  const peer = createPacketPeer(PEER.address, PEER.port);
  const inbound = createPacketGate(context, 'inbound', 'native');
  t.ok(inbound.pass(packet, 0, packet.length, peer, context.now()));
  t.match(inbound, { at: HEADER.length, length: ACK.length, prefixed: false });
  t.equal(inbound.memory, packet);
  const outbound = createPacketGate(context, 'outbound', 'native');
  t.ok(outbound.pass(ACK, 0, ACK.length, peer, context.now()));
  t.match(outbound, { at: 0, length: ACK.length, prefixed: true });
  t.equal(outbound.memory, ACK);
  t.strictSame(outbound.header, HEADER);
});

t.test('what opens to nothing, and what harms inside of a seal, is rejected in every stage but observe', async (t) => {
  const stages: Stage[] = ['accept', 'label', 'enforce'];
  for (const stage of stages) {
    const made = scene({ stage });
    t.equal(made.pass(labelled(seal('label', NONE)), 'inbound'), undefined, `${stage}: nothing, version 1`);
    t.equal(made.pass(labelled(seal('empty', NONE, 0)), 'inbound'), undefined, `${stage}: nothing, version 0`);
    t.strictSame(rejected(made.reading()), { 'inbound native packet shield_empty_plaintext': 2 });
    t.match(made.offered, [{ source: { rejected: true } }, { source: { rejected: true } }]);
    // What our own app sends is not the shield's business.
    t.ok(made.pass(seal('empty', NONE), 'outbound'));
  }
  const observing = scene({ stage: 'observe' });
  t.ok(observing.pass(labelled(seal('label', NONE)), 'inbound'), 'observe counts only');
  const would = observing.reading().wouldReject.filter(({ value }) => value > 0);
  t.strictSame(
    would.map(({ stage, reason }) => `${stage} ${reason}`),
    stages.map((stage) => `${stage} shield_empty_plaintext`),
  );
  t.ok(scene({ stage: 'label', shield: false }).pass(labelled(seal('label', NONE)), 'inbound'), 'shield off');
});

/** Ciphertext that reads like an indirect ping of 2^32 fields. */
const UNLUCKY = Buffer.concat([Buffer.of(1, 0xdf, 0xff, 0xff, 0xff, 0xff), Buffer.alloc(60, 0x91)]);

t.test('ciphertext that reads like a broken ping passes, unless the app last wrote plaintext', async (t) => {
  const plainPing = Buffer.from('0082a55365714e6f07a44e6f6465a178'.padEnd(80, '0'), 'hex');
  for (const ring of [undefined, STRANGER]) {
    const made = scene({ stage: 'label' }, { keyring: () => ring });
    const passes = () => made.pass(labelled(UNLUCKY), 'inbound') !== undefined;
    t.ok(passes(), 'while nothing is known of the ring');
    t.equal(
      made.pass(labelled(Buffer.from('07010000', 'hex')), 'inbound'),
      undefined,
      'what is no ciphertext never does',
    );
    made.pass(plainPing, 'outbound');
    t.ok(passes(), 'a ping of the app begins as one in sixteen sealed packets');
    made.pass(ACK, 'outbound');
    t.notOk(passes(), 'a plaintext ring has no such packets');
    for (let i = 0; i < 20; i++) made.pass(seal('empty'), 'outbound');
    t.ok(passes(), 'the ring is encrypted now');
    made.pass(plainPing, 'outbound');
    t.ok(passes());
    made.pass(ACK, 'outbound');
    t.notOk(passes(), 'and no more');
  }
});

t.test('who may be reached', async (t) => {
  const ping = (address: string) =>
    Buffer.concat([
      Buffer.from('0083a55365714e6f07a44e6f6465a178aa536f7572636541646472a4', 'hex'),
      Buffer.from(address.split('.').map(Number)),
    ]);
  const { pass, context, reading } = scene({ stage: 'label' });
  t.ok(pass(labelled(seal('label', ping('127.9.9.9'))), 'inbound'), 'an admitted address');
  t.equal(pass(labelled(seal('label', ping('192.0.2.1'))), 'inbound'), undefined, 'a stranger');
  t.equal(pass(labelled(ping('192.0.2.1')), 'inbound'), undefined, 'sealed or not');
  t.strictSame(rejected(reading()), { 'inbound native packet shield_reflection': 2 });
  const from = { address: '192.0.2.1', port: 7946 };
  t.ok(throughGate(context, labelled(ping('192.0.2.1')), 'inbound', from), 'whoever asks for itself');
  context.peers.learn(parseAddress('192.0.2.2') ?? NONE, 'own', context.now());
  t.ok(pass(labelled(ping('192.0.2.2')), 'inbound'), 'a proven one');
});

t.test('quarantine takes foreigners out of both directions, sealed or not, and nothing in observe', async (t) => {
  const foreign = [{ name: 'stranger', address: '10.9.9.9', port: 7946 }];
  const set = createQuarantine({ ...NO_QUARANTINE_RULES, foreign });
  const alive = (name: string, last: number) =>
    encodeMessage({
      ...{ type: 'alive', Incarnation: 1, Node: name, Addr: Uint8Array.of(10, 9, 9, last), Port: 7946 },
      ...{ Meta: NONE, Vsn: Uint8Array.of(1, 5, 2, 2, 5, 4) },
    });
  const own = alive('ours', 1);
  const both = encodeCompound([own, alive('stranger', 9)]);
  const left = Buffer.from(encodeCompound([own]));
  for (const direction of ['inbound', 'outbound'] as const) {
    for (const reseal of [true, false]) {
      const title = `${direction}, reseal ${reseal ? 'on' : 'off'}`;
      const made = scene({ stage: 'accept' }, { quarantine: () => set, reseal: () => reseal });
      t.strictSame(made.pass(both, direction), left, `${title}: plaintext`);
      const out = made.pass(seal('empty', both, 0), direction) ?? NONE;
      t.match(
        openPacket(KEYS, out, NONE),
        { ok: true, value: { plain: left, version: 0, key: 1 } },
        `${title}: sealed`,
      );
      const whole = seal('empty', own);
      t.strictSame(made.pass(whole, direction), Buffer.from(whole), `${title}: nothing to take out`);
      t.equal(made.pass(seal('empty', alive('stranger', 9)), direction), undefined, `${title}: nothing left`);
      t.strictSame(made.reading().quarantined, { stripped: 3, dropped: 0 }, title);
    }
  }
  const kept = scene({ stage: 'label' }, { quarantine: () => set, reseal: () => false });
  const out = kept.pass(seal('empty', both), 'outbound') ?? NONE;
  t.match(
    openPacket(KEYS, out.subarray(HEADER.length), OWN),
    { ok: true, value: { form: 'empty' } },
    'its form is kept',
  );
  const observing = scene({ stage: 'observe' }, { quarantine: () => set });
  t.strictSame(observing.pass(both, 'inbound'), Buffer.from(both));
});

t.test('the keys are asked for anew with each packet', async (t) => {
  let ring = STRANGER;
  const made = scene({ stage: 'label' }, { keyring: () => ring });
  const packet = labelled(seal('label'));
  t.match(openPacket(KEYS, made.pass(packet, 'inbound') ?? NONE, OWN), { ok: true }, 'not ours to open yet');
  ring = KEYS;
  t.match(openPacket(KEYS, made.pass(packet, 'inbound') ?? NONE, NONE), { ok: true, value: { form: 'empty' } });
});
