import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { harmOfPacket } from '../../src/policy/shield-packet.ts';
import { looksEncrypted } from '../../src/wire/encryption.ts';
import { decodeMessage, encodeMessage } from '../../src/wire/messages.ts';
import { encodeProbe, isProbe } from '../../src/wire/probe.ts';
import { walkPacket } from '../../src/wire/walk.ts';
import { PROPERTY } from '../property.ts';

const NOTHING = { SourceAddr: new Uint8Array(0), SourcePort: 0, SourceNode: '' };
const probe = fc.record({ seqNo: fc.integer({ min: 0, max: 2 ** 32 - 1 }), node: fc.string({ maxLength: 300 }) });

t.test('what is on the wire', async (t) => {
  const bytes = encodeProbe({ seqNo: 7, node: 'a' });
  const hex = `00 83 a9 ${Buffer.from('Ringfence').toString('hex')} c0 a4 ${Buffer.from('Node').toString('hex')} a1 61 a5 ${Buffer.from('SeqNo').toString('hex')} 07`;
  t.equal(Buffer.from(bytes).toString('hex'), hex.replaceAll(' ', ''));
  t.throws(() => encodeProbe({ seqNo: 2 ** 32, node: '' }), RangeError, 'the number is a u32');
});

t.test('any probe reads as the ping that it is, and harms nobody', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(probe, ({ seqNo, node }) => {
        const bytes = encodeProbe({ seqNo, node });
        const message = { type: 'ping', SeqNo: seqNo, Node: node, ...NOTHING } as const;
        const decoded = decodeMessage(bytes);
        deepStrictEqual(decoded, { ok: true, value: message });
        if (!isProbe(bytes)) throw new Error('not told');
        if (walkPacket(bytes).failures.length > 0) throw new Error('not walked');
        const harm = harmOfPacket(bytes, () => false, true);
        if (harm !== undefined) throw new Error(harm);
        if (seqNo > 0 && looksEncrypted(bytes)) throw new Error('looks encrypted');
      }),
      PROPERTY,
    ),
  );
});

t.test('nothing else is one', async (t) => {
  const bytes = encodeProbe({ seqNo: 7, node: 'a' });
  const ping = encodeMessage({ type: 'ping', SeqNo: 7, Node: 'a', ...NOTHING });
  t.equal(isProbe(ping), false, 'a ping of a member');
  t.equal(isProbe(new Uint8Array(0)), false);
  const changed = (at: number, value: number) => Uint8Array.from(bytes, (byte, i) => (i === at ? value : byte));
  t.equal(isProbe(changed(0, 1)), false, 'another type');
  t.equal(isProbe(changed(1, 0x80)), false, 'a map of nothing');
  t.equal(isProbe(changed(1, 0x93)), false, 'a list');
  t.equal(isProbe(changed(1, 0x84)), true, 'a fence that says more');
  t.equal(isProbe(changed(12, 0xc3)), false, 'another value');
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 12 }), (size) => {
        if (isProbe(bytes.subarray(0, size))) throw new Error(`${size} bytes of one`);
      }),
      PROPERTY,
    ),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (garbage) => !isProbe(garbage)),
      PROPERTY,
    ),
  );
});
