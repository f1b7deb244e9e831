/** Quarantine on packets: what goes, what stays byte for byte, which layers are made anew. */
import fc from 'fast-check';
import t from 'tap';
import { createQuarantine } from '../../src/ring/quarantine.ts';
import { quarantinePacket } from '../../src/ring/quarantine-packet.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { encodeMessage, type Message } from '../../src/wire/messages.ts';
import { walkPacket } from '../../src/wire/walk.ts';
import { PROPERTY } from '../property.ts';
import { addressBytes, alive, dead, ping, suspect } from './frames.ts';

const SET = createQuarantine({
  foreign: [{ name: 'b-1', address: '10.1.0.1', port: 7946 }],
  own: [],
  identity: { cidrs: [], names: [] },
});

const STRIPPED: Message = alive('b-1', '10.1.0.1');
const indirect = (Node: string, SourceNode = ''): Message => ({
  ...{ type: 'indirectPing', SeqNo: 1, Target: addressBytes('10.1.0.1'), Port: 7946, Node, Nack: true },
  ...{ SourceAddr: new Uint8Array(0), SourcePort: 0, SourceNode },
});
const DROPPED: Message[] = [
  suspect('a-1', 1, 'b-1'),
  dead('a-1', 1, 'b-1'),
  dead('nobody-knows', 1, 'b-1'),
  ping('b-1', 'a-1'),
  ping('a-1', 'b-1'),
  indirect('b-1'),
  indirect('a-1', 'b-1'),
];
const PASSED: Message[] = [
  alive('a-1'),
  alive('b-1', '10.1.0.7'),
  alive('b-1', '10.1.0.1', { Port: 1 }),
  suspect('b-1', 1, 'a-1'),
  suspect('b-1', 1, 'b-1'),
  dead('b-1', 1, 'a-1'),
  dead('b-1', 1, 'b-1'),
  dead('a-1', 1, 'a-2'),
  ping('a-1', 'a-2'),
  ping('a-1'),
  indirect('a-1'),
  { type: 'ackResp', SeqNo: 1, Payload: new Uint8Array(0) },
  { type: 'nackResp', SeqNo: 1 },
  { type: 'user', data: Uint8Array.of(4, 0x81) },
  { type: 'err', Error: 'no' },
];

const run = (packet: Uint8Array) => quarantinePacket(packet, SET);
const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString('hex'));

t.test('single messages', async (t) => {
  t.strictSame(run(encodeMessage(STRIPPED)), { packet: undefined, stripped: 1, dropped: 0 });
  for (const message of DROPPED) {
    t.strictSame(run(encodeMessage(message)), { packet: undefined, stripped: 0, dropped: 1 }, JSON.stringify(message));
  }
  for (const message of PASSED) {
    const packet = encodeMessage(message);
    const { packet: left, ...counts } = run(packet);
    t.equal(left, packet, `the same memory: ${message.type}`);
    t.strictSame(counts, { stripped: 0, dropped: 0 });
  }
});

const good = encodeMessage(alive('a-1'));
const better = encodeMessage(alive('a-2', '10.0.0.2'));
const bad = encodeMessage(STRIPPED);
const layers: [name: string, wrap: (message: Uint8Array) => Uint8Array][] = [
  ['as it is', (message) => message],
  ['checksum', addCrc],
  ['LZW', (message) => encodeCompress(message, 0)],
  ['Snappy', (message) => encodeCompress(message, 1)],
  ['checksum and LZW', (message) => addCrc(encodeCompress(message, 0))],
  ['compound in LZW in compound', (message) => encodeCompound([encodeCompress(encodeCompound([message]), 0)])],
];

for (const [name, wrap] of layers) {
  t.test(`layers are kept: ${name}`, async (t) => {
    const mixed = wrap(encodeCompound([good, bad, encodeMessage(dead('a-1', 1, 'b-1')), better]));
    const { packet, ...counts } = run(mixed);
    t.equal(hex(packet), hex(wrap(encodeCompound([good, better]))), 'as if it had never been there');
    t.strictSame(counts, { stripped: 1, dropped: 1 });
    t.strictSame(run(wrap(encodeCompound([bad, bad]))), { packet: undefined, stripped: 2, dropped: 0 });
    const clean = wrap(encodeCompound([good, better]));
    t.equal(run(clean).packet, clean, 'the same memory');
  });
}

t.test('what memberlist cannot read stays, and takes nothing with it', async (t) => {
  const broken = Uint8Array.of(4, 0xff);
  const damaged = addCrc(bad);
  damaged[2] = (damaged[2] ?? 0) ^ 1;
  for (const packet of [
    new Uint8Array(0),
    broken,
    damaged,
    Uint8Array.of(7),
    Uint8Array.of(9, 0x80),
    Uint8Array.of(99),
  ]) {
    t.strictSame(run(packet), { packet, stripped: 0, dropped: 0 });
  }
  t.equal(hex(run(encodeCompound([broken, bad, good])).packet), hex(encodeCompound([broken, good])));
  const cut = encodeCompound([bad, good, better]).subarray(0, -1);
  t.equal(hex(run(cut).packet), hex(encodeCompound([good])), 'whole parts of a compound that was cut short');
  const unknown = Buffer.from(encodeCompress(bad, 1));
  unknown[unknown.indexOf('Algo') + 4] = 7;
  t.equal(run(unknown).packet, unknown, 'an algorithm that nobody knows');
});

t.test('nesting beyond bounds is left to the shield', async (t) => {
  let deep = bad;
  for (let i = 0; i < 12; i++) deep = encodeCompound([deep]);
  t.equal(run(deep).packet, deep);
  let pressed = bad;
  for (let i = 0; i < 12; i++) pressed = encodeCompress(pressed, 0);
  t.equal(run(pressed).packet, pressed);
  const many = encodeCompound(new Array(255).fill(encodeCompound(new Array(255).fill(Uint8Array.of(2)))));
  t.equal(run(many).packet, many);
});

t.test('of any packet, exactly the messages of no bad fate are left, in order', async (t) => {
  const all = [STRIPPED, ...DROPPED, ...PASSED];
  const part = fc.nat(all.length - 1).map((i) => all[i] as Message);
  const packet = fc.tuple(fc.array(part, { minLength: 1, maxLength: 20 }), fc.nat(layers.length - 1));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(packet, ([messages, layer]) => {
        const wrap = layers[layer]?.[1] ?? addCrc;
        const { packet: left, stripped, dropped } = run(wrap(encodeCompound(messages.map(encodeMessage))));
        const kept = messages.filter((message) => PASSED.includes(message));
        const read = left === undefined ? [] : walkPacket(left).messages;
        const bytes = (list: readonly Message[]) => list.map((message) => hex(encodeMessage(message))).join();
        const sameMessages = bytes(read) === bytes(kept);
        return sameMessages && stripped + dropped === messages.length - kept.length;
      }),
      PROPERTY,
    ),
  );
});

t.test('total on garbage', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.constantFrom(4, 7, 9, 12, 0), fc.uint8Array({ maxLength: 80 }), (type, rest) => {
        run(Uint8Array.of(type, ...rest));
      }),
      PROPERTY,
    ),
  );
});
