/** Where packets pass, and where they are inspected: one answer to which of them say nothing but that their peer spoke. */
import fc from 'fast-check';
import t from 'tap';
import { HeardTable } from '../../src/ring/heard.ts';
import { inspectPacket } from '../../src/ring/inspect-packet.ts';
import { isUnread, readsUser } from '../../src/ring/packet-interest.ts';
import { createRing } from '../../src/ring/ring.ts';
import type { Ring } from '../../src/ring/ring-types.ts';
import { createSeals } from '../../src/ring/seals.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { createKeyring, sealPacket } from '../../src/wire/encryption.ts';
import { encodeKvPair } from '../../src/wire/kv.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { PROPERTY } from '../property.ts';
import { alive, frame, ping, START_MS } from './frames.ts';

const KEYRING = createKeyring([new Uint8Array(32).fill(1)]);
const PAIR = encodeKvPair({ key: 'ring', value: Uint8Array.of(1, 2), codec: 'x', deleted: false, updateTimeMs: 0 });
const OWN: Partial<FrameSource> = { labelState: 'own', label: Buffer.from('ring') };
const MESSAGES = [alive('a'), alive('b', '10.0.0.2'), ping('a', 'b')].map(encodeMessage);

/** Every user message, whatever it holds: text, gossip that nobody reads as such, a dskit pair, something sealed. */
const CONTENT = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(...MESSAGES, PAIR, sealPacket(KEYRING, MESSAGES[0] as Uint8Array, new Uint8Array(0), 1, 0)),
);
const FRAMES: fc.Arbitrary<FrameSource> = fc
  .record({
    ...{ direction: fc.constantFrom('inbound' as const, 'outbound' as const), of: fc.constantFrom(OWN, {}) },
    transport: fc.constantFrom('native' as const, 'alertmanager' as const),
  })
  .map(({ direction, transport, of }) => frame({ ...of, direction, transport }));

function world() {
  const ring = createRing({
    ...{ startedMs: START_MS, warmUpMs: 0, identity: { cidrs: [], names: [] }, graceMs: 0, proven: () => false },
  });
  const seals = createSeals({ peers: 10, windowMs: 600_000, onApart: () => undefined });
  const shown = () => ({
    ...{ members: ring.members(START_MS), counts: ring.memberCounts(START_MS), app: ring.app(), ms: ring.tableMs() },
    ...{ foreign: ring.foreignTuples(START_MS), kv: ring.instances(START_MS), alarms: ring.alarms(START_MS) },
    ...{ warnings: ring.warnings(START_MS), quarantine: ring.quarantineRules(START_MS), evictions: ring.evictions() },
    ...{ addresses: ring.addressRules(START_MS), seals: seals.peers(START_MS), raised: ring.alarmsRaised() },
  });
  const inspect = (source: FrameSource, bytes: Uint8Array, keyed: boolean) => {
    seals.packet(source, bytes);
    return inspectPacket(ring, source, bytes, keyed ? KEYRING : undefined);
  };
  return { inspect, shown };
}

t.test('what is left unread changes nothing that inspection knows, with keys and without', async (t) => {
  let runs = 0;
  const check = (source: FrameSource, content: Uint8Array, keyed: boolean) => {
    const user = Buffer.concat([Uint8Array.of(8), content]);
    if (!isUnread(source, user)) return false;
    const { inspect, shown } = world();
    // The peer was heard at the same time, and so were some members.
    inspect(source, encodeCompound(MESSAGES), keyed);
    const before = JSON.stringify(shown());
    inspect(source, user, keyed);
    runs++;
    return JSON.stringify(shown()) === before;
  };
  t.doesNotThrow(() => fc.assert(fc.property(FRAMES, CONTENT, fc.boolean(), check), PROPERTY));
  t.ok(runs > 50, `${runs} runs`);
});

t.test('inspection tells the ring of it that its peer spoke, and no more', async (t) => {
  const check = (source: FrameSource, content: Uint8Array, keyed: boolean) => {
    const calls: string[] = [];
    const ring = new Proxy({} as Ring, {
      get: (_, name) => (_source: FrameSource, what: unknown) =>
        void calls.push(`${String(name)} ${(what as { type: string } | undefined)?.type}`),
    });
    inspectPacket(ring, source, Buffer.concat([Uint8Array.of(8), content]), keyed ? KEYRING : undefined);
    return calls.join() === 'frame undefined,message user';
  };
  t.doesNotThrow(() => fc.assert(fc.property(FRAMES, CONTENT, fc.boolean(), check), PROPERTY));
});

t.test('that a peer spoke twice at one time is known after the first', async (t) => {
  for (const source of [frame(OWN), frame(), frame({ labelState: 'foreign', rejected: true })]) {
    const heard = new HeardTable(10);
    heard.note(source, undefined);
    const once = structuredClone(heard.of('10.0.0.9', 7946));
    heard.note(source, undefined);
    t.same(heard.of('10.0.0.9', 7946), once);
  }
});

t.test('nothing else is left unread', async (t) => {
  const user = encodeMessage({ type: 'user', data: Buffer.from('hello') });
  t.equal(isUnread(frame(), user), true);
  t.equal(
    isUnread(frame(), Buffer.concat([MESSAGES[0] as Uint8Array, user]), (MESSAGES[0] as Uint8Array).length),
    true,
  );
  t.equal(isUnread(frame({ transport: 'dskit' }), user), false);
  t.same([readsUser({ transport: 'dskit' }), readsUser({ transport: 'native' })], [true, false]);
  for (const packet of [
    ...[new Uint8Array(0), encodeCompound([user]), addCrc(user), ...MESSAGES],
    ...[sealPacket(KEYRING, user, new Uint8Array(0), 1, 0), sealPacket(KEYRING, user, new Uint8Array(0), 0, 0)],
  ]) {
    t.equal(isUnread(frame(), packet), false);
  }
  t.equal(isUnread(frame(), user, user.length), false, 'an empty packet, whatever follows in memory');
});
