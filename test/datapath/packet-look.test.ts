import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import type { PacketInside } from '../../src/datapath/packet-inside.ts';
import { nodeMd5, PacketLook } from '../../src/datapath/packet-look.ts';
import { encodeLabelHeader } from '../../src/wire/label.ts';
import { chunked, PROPERTY } from '../property.ts';

const HEADER = encodeLabelHeader(Buffer.from('ring'));
const NO_LABEL = new Uint8Array(0);
const md5 = (...parts: readonly Uint8Array[]) => createHash('md5').update(Buffer.concat(parts)).digest();

interface Shape {
  readonly body: Uint8Array;
  readonly cuts: readonly number[];
  readonly labelled: boolean;
  readonly labels: boolean;
  readonly isRight: boolean;
  /** Bytes between the label and the packet, in one memory; undefined: the label stands behind it. */
  readonly gap: number | undefined;
}

const SHAPES: fc.Arbitrary<Shape> = fc.record({
  ...{ body: fc.uint8Array({ maxLength: 40_000 }), cuts: fc.array(fc.nat(), { maxLength: 4 }) },
  ...{ labelled: fc.boolean(), labels: fc.boolean(), isRight: fc.boolean() },
  gap: fc.option(fc.nat(40), { nil: undefined }),
});

/** Changes nothing. */
function insideOf(body: Uint8Array): PacketInside {
  const inside = { look: () => undefined, rewrite: () => body, isProbe: () => false };
  return inside as unknown as PacketInside;
}

t.test('digests fit what goes on, wherever in memory the label and the pieces of a packet stand', async (t) => {
  const check = ({ body, cuts, labelled, labels, isRight, gap }: Shape) => {
    const label = labelled ? HEADER : NO_LABEL;
    const digest = md5(label, body);
    if (!isRight) digest[3] = (digest[3] ?? 0) ^ 1;
    const packet = Buffer.concat([body, digest]);
    const memory = Buffer.alloc(label.length + 40 + packet.length, 0xa5);
    const packetAt = gap === undefined ? 0 : label.length + gap;
    const labelAt = gap === undefined ? packet.length : 0;
    memory.set(packet, packetAt);
    memory.set(label, labelAt);
    const receivedLabel = memory.subarray(labelAt, labelAt + label.length);
    const look = new PacketLook({ receivedLabel, labelHeader: HEADER, md5: nodeMd5, inside: insideOf });
    for (const chunk of chunked(memory.subarray(packetAt, packetAt + packet.length), cuts)) look.push(chunk);
    if (look.isWhole() !== isRight) return false;
    look.end();
    const { bytes } = look.release({ labelled: labels, form: undefined });
    const sent = Buffer.concat(bytes ?? []);
    const fits = md5(labels ? HEADER : NO_LABEL, body).equals(sent.subarray(body.length));
    return sent.length === packet.length && sent.subarray(0, body.length).equals(body) && fits === isRight;
  };
  t.doesNotThrow(() => fc.assert(fc.property(SHAPES, check), PROPERTY));
});
