/** Packets read for the ring, and their excerpts. */
import fc from 'fast-check';
import t from 'tap';
import { EXCERPT_MAX_CHARS, Excerpt } from '../../src/ring/excerpt.ts';
import { inspectPacket } from '../../src/ring/inspect-packet.ts';
import { createRing } from '../../src/ring/ring.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { createKeyring, sealPacket } from '../../src/wire/encryption.ts';
import { encodeKvPair } from '../../src/wire/kv.ts';
import { encodeMessage, type Message } from '../../src/wire/messages.ts';
import { encodeProbe } from '../../src/wire/probe.ts';
import { PROPERTY } from '../property.ts';
import { addressBytes, alive, dead, foreignFrame, frame, ping, START_MS, suspect } from './frames.ts';

const newRing = () =>
  createRing({ startedMs: START_MS, warmUpMs: 0, identity: { cidrs: [], names: [] }, graceMs: 0, proven: () => false });
/** With its excerpt asked for. */
function inspected(...args: Parameters<typeof inspectPacket>) {
  const { excerpt, ...outcome } = inspectPacket(...args);
  return { ...outcome, excerpt: excerpt() };
}
const names = (ring: ReturnType<typeof newRing>) => ring.members(START_MS).map(({ name }) => name);
const KEYRING = createKeyring([new Uint8Array(16).fill(1)]);
const LABEL = Buffer.from('green');

t.test('every message reaches the ring', async (t) => {
  const ring = newRing();
  const packet = encodeCompound([alive('a'), alive('b'), suspect('b')].map(encodeMessage));
  t.strictSame(inspected(ring, frame(), packet, undefined), {
    messages: 3,
    failures: [],
    excerpt: 'alive a 10.0.0.1:7946 inc 1 | alive b 10.0.0.1:7946 inc 1 | suspect b inc 1 from accuser',
  });
  t.match(ring.members(START_MS), [
    { name: 'a', state: 'alive' },
    { name: 'b', state: 'suspect' },
  ]);
});

t.test('what each message says, in short', async (t) => {
  const source = { SourceAddr: new Uint8Array(0), SourcePort: 0, SourceNode: '' };
  const cases: [Message, string][] = [
    [ping('a'), 'ping a'],
    [ping('a', 'b'), 'ping a from b'],
    [
      { type: 'indirectPing', SeqNo: 1, Target: addressBytes('10.0.0.7'), Port: 1, Node: 'a', Nack: true, ...source },
      'indirectPing a 10.0.0.7:1',
    ],
    [{ type: 'ackResp', SeqNo: 5, Payload: new Uint8Array(0) }, 'ackResp 5'],
    [{ type: 'nackResp', SeqNo: 6 }, 'nackResp 6'],
    [dead('a', 3, 'b'), 'dead a inc 3 from b'],
    [{ type: 'user', data: new Uint8Array(9) }, 'user 9 bytes'],
    [{ type: 'err', Error: 'no "such" thing' }, 'err no \\x22such\\x22 thing'],
    [
      alive('evil\n\x1b[31m"\udcff', 'fd00::1', { Addr: new Uint8Array(16).fill(0).fill(1, 15), Port: 80 }),
      'alive evil\\x0a\\x1b[31m\\x22\\xff [::1]:80 inc 1',
    ],
  ];
  for (const [message, excerpt] of cases) {
    t.equal(inspected(newRing(), frame(), encodeMessage(message), undefined).excerpt, excerpt);
  }
});

t.test('an excerpt is bounded, and counts the rest', async (t) => {
  const many = encodeCompound(Array.from({ length: 200 }, (_, i) => encodeMessage(alive(`member-${i}`))));
  const { excerpt } = inspected(newRing(), frame(), many, undefined);
  t.match(excerpt, /^alive member-0 10\.0\.0\.1:7946 inc 1 \| .* \| \+19\d$/);
  t.ok(excerpt.length <= EXCERPT_MAX_CHARS);
  const long = inspected(newRing(), frame(), encodeMessage(alive('\n'.repeat(500))), undefined);
  t.ok(long.excerpt.length <= EXCERPT_MAX_CHARS);
  t.match(long.excerpt, /^alive \\x0a/);
  const three = new Excerpt();
  for (const part of ['a'.repeat(100), 'b'.repeat(150), 'c']) three.add(() => part);
  t.equal(three.toString(), `${'a'.repeat(100)} | +2`, 'what does not fit whole is not shown, nor what follows');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 300 }), { maxLength: 20 }), (parts) => {
        const excerpt = new Excerpt();
        for (const part of parts) excerpt.add(() => part);
        return excerpt.toString().length <= EXCERPT_MAX_CHARS;
      }),
      PROPERTY,
    ),
  );
});

t.test('what cannot be read is said', async (t) => {
  const ring = newRing();
  const half = encodeCompound([Uint8Array.of(99), encodeMessage(alive('a'))]);
  t.match(inspected(ring, frame(), half, undefined), { messages: 1, failures: [{ reason: 'type_unknown' }] });
  t.match(inspected(ring, frame(), Uint8Array.of(99, 0x41), undefined), {
    messages: 0,
    excerpt: '2 bytes "cA"',
    failures: [{ reason: 'type_unknown' }],
  });
  t.match(inspected(ring, frame(), encodeMessage(alive('b')), undefined, 10), {
    messages: 0,
    failures: [{ reason: 'expanded_limit', at: 10 }],
    excerpt: /^\d+ bytes$/,
  });
  t.strictSame(names(ring), ['a']);
});

t.test('sealed packets', async (t) => {
  const ring = newRing();
  const source = frame({ labelState: 'own', label: LABEL, peer: { address: '10.0.0.1', port: 7946 } });
  const sealed = (aad: Uint8Array, version: 0 | 1) => sealPacket(KEYRING, encodeMessage(alive('a')), aad, version, 0);
  t.match(inspected(ring, source, sealed(LABEL, 1), undefined), {
    ...{ messages: 0, failures: [{ reason: 'no_key' }] },
    excerpt: /^encrypted, \d+ bytes$/,
  });
  const other = createKeyring([new Uint8Array(16).fill(2)]);
  t.match(inspected(ring, source, sealed(LABEL, 1), other), { messages: 0, failures: [{ reason: 'no_key' }] });
  t.strictSame(names(ring), []);
  t.match(inspected(ring, source, sealed(LABEL, 1), KEYRING), { messages: 1, excerpt: /^alive a/ });
  t.match(ring.members(START_MS), [{ name: 'a', sealForm: 'label', fenced: undefined }]);
  inspected(ring, source, sealed(new Uint8Array(0), 0), KEYRING);
  t.match(ring.members(START_MS), [{ name: 'a', sealForm: 'empty', fenced: true }]);
  t.match(inspected(ring, source, encodeMessage(alive('plain')), KEYRING), { messages: 1 }, 'plain among sealed ones');
});

t.test("dskit's pairs, on dskit's transport", async (t) => {
  const pair = { key: 'collectors/ring', value: Uint8Array.of(1), codec: 'x', deleted: false, updateTimeMs: 0 };
  const packet = encodeMessage({ type: 'user', data: encodeKvPair(pair) });
  const ring = newRing();
  t.equal(inspected(ring, frame({ transport: 'dskit' }), packet, undefined).excerpt, 'kv collectors/ring');
  const garbage = encodeMessage({ type: 'user', data: Uint8Array.of(0xff, 0xff) });
  t.equal(inspected(ring, frame({ transport: 'dskit' }), garbage, undefined).excerpt, 'user 2 bytes');
  t.match(ring.instances(START_MS).keys, [{ key: 'collectors/ring' }]);
  const other = newRing();
  inspected(other, frame(), packet, undefined);
  t.strictSame(other.instances(START_MS).keys, [], "another app's messages are its own");
});

t.test('total on garbage, whatever the frame', async (t) => {
  const ring = newRing();
  const type = fc.constantFrom(0, 1, 4, 7, 8, 9, 10, 12, 99);
  const source = fc.constantFrom(frame(), frame({ transport: 'dskit' }), foreignFrame());
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        type,
        fc.uint8Array({ maxLength: 120 }),
        source,
        fc.constantFrom(undefined, KEYRING),
        (first, rest, from, keyring) => {
          const { excerpt } = inspected(ring, from, Uint8Array.of(first, ...rest), keyring);
          return excerpt.length > 0 && excerpt.length <= EXCERPT_MAX_CHARS && /^[\x20-\x7e]*$/.test(excerpt);
        },
      ),
      PROPERTY,
    ),
  );
});

t.test("a fence's own ping is no word of the member behind it", async (t) => {
  const seen: string[] = [];
  const ring = newRing();
  ring.frame = (_source, form) => void seen.push(String(form));
  const probe = encodeProbe({ seqNo: 7, node: 'tempo-1' });
  inspected(ring, frame(), probe, undefined);
  inspected(ring, frame({ labelState: 'own', label: LABEL }), sealPacket(KEYRING, probe, LABEL, 1, 0), KEYRING);
  t.strictSame(seen, []);
  inspected(ring, frame(), encodeMessage(ping('tempo-1')), undefined);
  inspected(ring, frame({ labelState: 'own', label: LABEL }), sealPacket(KEYRING, probe, LABEL, 1, 0), undefined);
  t.strictSame(seen, ['undefined', 'undefined'], "members' are, and what nobody can open");
});
