import fc from 'fast-check';
import t from 'tap';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel, sameBytes } from '../../src/wire/label.ts';
import { PROPERTY } from '../property.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);
const label = fc.uint8Array({ minLength: 1, maxLength: 255 });

t.test('a packet without the label type byte has no label', async (t) => {
  for (const packet of [bytes(), bytes(0), bytes(8, 244, 1, 65), bytes(243, 1, 65), bytes(245)]) {
    t.strictSame(peekPacketLabel(packet), { ok: true, value: { label: bytes(), bodyAt: 0 } });
  }
});

t.test('a labelled packet shows its label and where its body starts, without copying', async (t) => {
  const packet = bytes(244, 2, 65, 66, 8, 9);
  const seen = peekPacketLabel(packet);
  t.strictSame(seen, { ok: true, value: { label: bytes(65, 66), bodyAt: 4 } });
  packet[2] = 90;
  t.ok(seen.ok && seen.value.label[0] === 90, 'the label is a view of the packet');
});

t.test('a labelled packet with nothing after the label is taken as memberlist takes it', async (t) => {
  t.strictSame(peekPacketLabel(bytes(244, 1, 65)), { ok: true, value: { label: bytes(65), bodyAt: 3 } });
});

t.test('the headers that memberlist refuses are refused with their reason and place', async (t) => {
  t.strictSame(peekPacketLabel(bytes(244)), { ok: false, reason: 'label_truncated', at: 1 }, 'no length');
  t.strictSame(peekPacketLabel(bytes(244, 0)), { ok: false, reason: 'label_empty', at: 1 });
  t.strictSame(peekPacketLabel(bytes(244, 0, 8)), { ok: false, reason: 'label_empty', at: 1 });
  t.strictSame(peekPacketLabel(bytes(244, 3, 65, 66)), { ok: false, reason: 'label_truncated', at: 4 }, 'one short');
  t.strictSame(peekPacketLabel(bytes(244, 1, 65, 244)), { ok: false, reason: 'label_double', at: 3 });
  t.strictSame(peekPacketLabel(bytes(244, 1, 65, 244, 1, 65, 8)), { ok: false, reason: 'label_double', at: 3 });
});

t.test('the longest label has 255 bytes, and one byte less of packet is truncated', async (t) => {
  const longest = new Uint8Array(255).fill(97);
  const packet = addPacketLabel(bytes(8), encodeLabelHeader(longest));
  t.equal(packet.length, 2 + 255 + 1);
  t.strictSame(peekPacketLabel(packet), { ok: true, value: { label: longest, bodyAt: 257 } });
  t.strictSame(peekPacketLabel(packet.subarray(0, 256)), { ok: false, reason: 'label_truncated', at: 256 });
});

t.test('a label of 0 or 256 bytes cannot be written', async (t) => {
  t.throws(() => encodeLabelHeader(new Uint8Array(0)), { name: 'RangeError', message: /1 to 255 bytes, not 0/ });
  t.throws(() => encodeLabelHeader(new Uint8Array(256)), { name: 'RangeError', message: /not 256/ });
  t.strictSame(encodeLabelHeader(bytes(65)), bytes(244, 1, 65));
});

t.test('labels are the same only when every byte and the length are', async (t) => {
  t.ok(sameBytes(bytes(), bytes()));
  t.ok(sameBytes(bytes(1, 2), bytes(1, 2)));
  t.notOk(sameBytes(bytes(1, 2), bytes(1, 3)));
  t.notOk(sameBytes(bytes(1, 2), bytes(1)));
  t.notOk(sameBytes(bytes(1), bytes(1, 2)));
});

t.test('property: stripping what was added gives the packet back, and the label', async (t) => {
  const property = fc.property(label, fc.uint8Array({ maxLength: 2000 }), (own, packet) => {
    fc.pre(packet[0] !== 244);
    const seen = peekPacketLabel(addPacketLabel(packet, encodeLabelHeader(own)));
    if (!seen.ok) return false;
    const labelled = addPacketLabel(packet, encodeLabelHeader(own));
    return sameBytes(seen.value.label, own) && sameBytes(labelled.subarray(seen.value.bodyAt), packet);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: no proper prefix of a labelled packet shows another label', async (t) => {
  const property = fc.property(label, fc.uint8Array({ maxLength: 20 }), fc.nat(300), (own, packet, cut) => {
    fc.pre(packet[0] !== 244);
    const whole = addPacketLabel(packet, encodeLabelHeader(own));
    fc.pre(cut > 0 && cut < whole.length);
    const seen = peekPacketLabel(whole.subarray(0, cut));
    return seen.ok ? sameBytes(seen.value.label, own) : seen.reason === 'label_truncated';
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('property: any bytes give an answer whose parts lie inside them', async (t) => {
  const start = fc.constantFrom([], [244], [244, 0], [244, 1], [244, 255]);
  const property = fc.property(start, fc.uint8Array({ maxLength: 300 }), (head, rest) => {
    const packet = Uint8Array.from([...head, ...rest]);
    const seen = peekPacketLabel(packet);
    if (!seen.ok) return seen.at >= 1 && seen.at <= packet.length && packet[0] === 244;
    const { label, bodyAt } = seen.value;
    return bodyAt <= packet.length && bodyAt === (label.length === 0 ? 0 : 2 + label.length);
  });
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});
