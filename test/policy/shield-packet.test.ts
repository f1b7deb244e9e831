import fc from 'fast-check';
import t from 'tap';
import { harmOfPacket, type MayReach } from '../../src/policy/shield-packet.ts';
import { INCARNATION_MAX } from '../../src/policy/shield-rules.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { PROPERTY } from '../property.ts';
import { ATTACKS, aliveMessage, map } from './attacks.ts';

const unhex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
const NOBODY: MayReach = () => false;
const harmOf = (packet: Uint8Array, datagram = true) => harmOfPacket(packet, () => true, datagram);

const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);
const GOOD = aliveMessage(VSN);
const BAD = aliveMessage(VSN.subarray(0, 2));

t.test('versions', async (t) => {
  for (let size = 0; size < 6; size++)
    t.equal(harmOf(aliveMessage(VSN.subarray(0, size))), 'shield_bad_version', `${size}`);
  t.equal(harmOf(GOOD), undefined);
  t.equal(harmOf(aliveMessage(new Uint8Array(9).fill(1))), undefined, 'more than six are read as six');
  t.equal(harmOf(join(unhex('04'), map(['Node', unhex('a161')]))), 'shield_bad_version', 'none at all');
  t.equal(harmOf(join(unhex('04'), map(['Vsn', unhex('c0')]))), 'shield_bad_version', 'nil');
  t.equal(harmOf(join(unhex('04'), map(['Vsn', unhex('93010203')]))), 'shield_disguised', 'as a list');
  t.equal(harmOf(join(unhex('04'), map(['Vsn', unhex('830102030405 06')]))), 'shield_disguised', 'as a map');
  t.equal(harmOf(unhex('04 96 07 a173 a0 07 a0 a20102')), 'shield_bad_version', 'by position');
  t.equal(harmOf(BAD.subarray(0, -1)), undefined, 'one that is cut off ends nobody');
  t.equal(harmOf(unhex('04 07')), undefined, 'nor what is no struct');
});

t.test('incarnations', async (t) => {
  t.equal(harmOf(aliveMessage(VSN, INCARNATION_MAX)), undefined);
  t.equal(harmOf(aliveMessage(VSN, INCARNATION_MAX + 1)), 'shield_bad_incarnation');
  for (const type of ['suspect', 'dead'] as const) {
    const accusation = (Incarnation: number) => encodeMessage({ type, Incarnation, Node: 'a', From: 'b' });
    t.equal(harmOf(accusation(INCARNATION_MAX + 1)), 'shield_bad_incarnation', type);
    t.equal(harmOf(accusation(7)), undefined, type);
  }
});

t.test('nothing at all', async (t) => {
  t.equal(harmOf(new Uint8Array(0)), undefined, 'UDP listeners leave an empty datagram alone');
  t.equal(harmOf(new Uint8Array(0), false), 'shield_empty_message', 'a connection hands it on');
  t.equal(harmOf(unhex('0c 00000000')), 'shield_empty_message');
  t.equal(harmOf(unhex('0c 00000001')), undefined, 'a wrong checksum is dropped before it is looked into');
  t.equal(harmOf(unhex('0c 000000')), undefined, 'too short for a checksum');
  t.equal(harmOf(unhex('07')), undefined);
  t.equal(harmOf(unhex('07 00')), undefined);
  t.equal(harmOf(unhex('07 02 0000')), undefined, 'a cut table of few parts');
  t.equal(harmOf(unhex('07 01 0005 08')), undefined, 'a cut part is left out');
  t.equal(harmOf(unhex('07 81 00')), undefined, 'wrapped, the table is still longer than this');
  t.equal(harmOf(unhex('07 81 0000')), 'shield_empty_message', 'and here it is not');
  t.equal(harmOf(unhex('08')), undefined, 'an empty user message is one');
  for (const type of ['0a', '0d', '06', 'ff']) t.equal(harmOf(unhex(type)), undefined, `${type}: logged`);
});

t.test('harm in any layer, and behind harmless parts', async (t) => {
  const layers = [addCrc(BAD), encodeCompound([GOOD, BAD]), encodeCompress(BAD, 0), encodeCompress(BAD, 1)];
  for (const packet of layers) t.equal(harmOf(packet), 'shield_bad_version');
  t.equal(harmOf(addCrc(encodeCompress(encodeCompound([GOOD, encodeCompound([BAD])]), 0))), 'shield_bad_version');
  const broken = addCrc(BAD);
  broken[1] = (broken[1] as number) ^ 1;
  t.equal(harmOf(broken), undefined);
  t.equal(harmOf(encodeCompound([GOOD, addCrc(BAD)])), undefined, 'a checksum inside is no layer to memberlist');
  t.equal(
    harmOf(join(unhex('09'), map(['Algo', unhex('07')], ['Buf', unhex('a101')]))),
    undefined,
    'unknown algorithm',
  );
  t.equal(harmOf(join(unhex('09'), map(['Buf', unhex('c0')]))), undefined, 'nothing to unpack');
  t.equal(harmOf(join(unhex('09'), map(['Buf', unhex('9101')]))), 'shield_disguised');
  t.equal(harmOf(join(unhex('09'), map(['Buf', unhex('db ffffffff')]))), 'shield_bad_length');
  t.equal(harmOf(join(unhex('09'), map(['Buf', unhex('07')]))), undefined);
});

t.test('depth and number', async (t) => {
  const nest = (depth: number) =>
    Array.from({ length: depth }).reduce<Uint8Array>((inner) => encodeCompound([inner]), GOOD);
  t.equal(harmOf(nest(8)), undefined);
  t.equal(harmOf(nest(9)), 'shield_bomb');
  const row = encodeCompound(Array.from({ length: 127 }, () => unhex('08')));
  const many = encodeCompound(Array.from({ length: 127 }, () => row));
  t.equal(harmOf(many), undefined, '16,256 messages');
  t.equal(harmOf(encodeCompound([many, row])), 'shield_bomb', 'and another 127');
});

t.test('the parts of 128 and more as releases before v0.2.4 cut them', async (t) => {
  const parts = (count: number) =>
    Array.from({ length: count }, (_, i) => (i === 0 ? join(unhex('08'), BAD) : unhex('0841')));
  t.equal(harmOf(encodeCompound(parts(200))), undefined, 'read rightly: an attack inside a user message');
  // 128 times two is nothing to them: the first part begins where the lengths do, whose first two bytes are its length and `04 86`.
  const table = new Uint8Array(256).fill(0xff);
  table.set(BAD);
  const crafted = join(unhex('07 80'), table, new Uint8Array(0x0486).fill(8));
  t.ok(BAD[0] === 4 && BAD[1] === 0x86);
  t.equal(harmOf(crafted), 'shield_bad_version', 'over UDP');
  t.equal(harmOf(crafted, false), undefined, 'read rightly it holds one user message');
});

t.test('whom a ping and a probe may reach', async (t) => {
  const asked: string[] = [];
  const refuse: MayReach = (address) => {
    asked.push(formatAddress(address));
    return false;
  };
  const ping = (SourceAddr: Uint8Array) =>
    encodeMessage({ type: 'ping', SeqNo: 1, Node: 'a', SourceAddr, SourcePort: 53, SourceNode: '' });
  const probe = (Target: Uint8Array, SourceAddr: Uint8Array) =>
    encodeMessage({
      type: 'indirectPing',
      SeqNo: 1,
      Target,
      Port: 53,
      Node: 'a',
      Nack: true,
      SourceAddr,
      SourcePort: 53,
      SourceNode: '',
    });
  const v4 = Uint8Array.of(192, 0, 2, 9);
  const v6 = unhex('20010db8000000000000000000000009');
  const none = new Uint8Array(0);
  for (const packet of [ping(v4), ping(v6), probe(v4, none), probe(none, v6)]) {
    t.equal(harmOfPacket(packet, refuse, true), 'shield_reflection');
    t.equal(harmOf(packet), undefined, 'a known one');
  }
  t.strictSame(asked, ['192.0.2.9', '2001:db8::9', '192.0.2.9', '2001:db8::9']);
  for (const packet of [ping(none), ping(Uint8Array.of(1, 2, 3)), probe(none, none)]) {
    t.equal(
      harmOfPacket(packet, NOBODY, true),
      undefined,
      'no address: the answer goes where it came from, or nowhere',
    );
  }
  t.equal(
    harmOfPacket(unhex('00 81 aa 536f7572636541646472 94 01020304'), () => true, true),
    'shield_disguised',
    'as a list',
  );
  t.equal(harmOfPacket(unhex('00 81 aa 536f7572636541646472 92 0102'), NOBODY, true), undefined);
});

t.test('what releases before v0.2.0 pass over in the fields that were added then', async (t) => {
  for (const type of ['00', '01']) {
    const harm = (...entries: readonly (readonly [string, string])[]) =>
      harmOf(join(unhex(type), map(...entries.map(([name, value]) => [name, unhex(value)] as const))));
    const claim = ['Junk', 'ddffffffff'] as const;
    for (const name of ['SourceAddr', 'SourcePort', 'SourceNode']) {
      t.equal(harm([name, 'c9 43018700 00']), 'shield_bad_length', `${name}: an extension of 1 GiB`);
      t.equal(harm([name, 'df ffffffff']), 'shield_bad_length', `${name}: a map of 4 billion entries`);
      t.equal(
        harm([name, 'ca 3f800000'], claim),
        'shield_bad_length',
        `${name}: a float, and a list of 64 GiB behind it`,
      );
      t.equal(harm([name, 'c9 00000001 00 00']), undefined, `${name}: of no harm`);
    }
    t.equal(harm(['SourceNode', 'e0'], claim), 'shield_disguised', 'a number, or a text that hides what is behind it');
  }
});

t.test('layers that do not unpack use up what a packet may unpack to', async (t) => {
  // A Snappy block that claims all that a datagram may unpack to, and holds nothing.
  const claim = join(unhex('09'), map(['Algo', unhex('01')], ['Buf', unhex('a4 80804000')]));
  t.equal(harmOf(claim), undefined, 'members log one');
  t.equal(harmOf(encodeCompound([claim, GOOD])), undefined);
  t.equal(harmOf(encodeCompound([claim, claim])), 'shield_bomb', 'and are spared many');
});

t.test('total', async (t) => {
  const seeds = ATTACKS.filter(({ kind, row }) => kind === 'packet' && row !== 6 && row !== 14).map(({ bytes }) =>
    bytes(),
  );
  const mutant = fc.tuple(fc.constantFrom(GOOD, ...seeds), fc.nat(), fc.nat(255)).map(([seed, at, byte]) => {
    const copy = Uint8Array.from(seed);
    copy[at % copy.length] = byte;
    return copy;
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.oneof(mutant, fc.uint8Array({ maxLength: 100 })), fc.boolean(), (packet, datagram) => {
        const before = Uint8Array.from(packet);
        harmOf(packet, datagram);
        return Buffer.compare(packet, before) === 0;
      }),
      PROPERTY,
    ),
  );
});
