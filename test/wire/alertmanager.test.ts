import fc from 'fast-check';
import t from 'tap';
import { decodeAlertmanagerFrame, encodeAlertmanagerFrame } from '../../src/wire/alertmanager.ts';
import { ALERTMANAGER_FRAME_MAX_BYTES } from '../../src/wire/limits.ts';
import { encodeProto, type ProtoField } from '../../src/wire/protobuf.ts';
import { chunked, PROPERTY } from '../property.ts';

const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));
const NONE = bytesOf('');

function frame(body: Uint8Array): Uint8Array {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}
const message = (...fields: ProtoField[]) => frame(encodeProto([[1, 'v0.1.0'], ...fields]));

t.test('a packet, a stream, and what follows them', async (t) => {
  const packet = encodeAlertmanagerFrame({ kind: 'packet', from: '10.1.0.1:9094', msg: bytesOf('\x08hi') });
  t.equal(
    Buffer.from(packet).toString('hex'),
    '1e0000000a0676302e312e3010011a0d31302e312e302e313a393039342203086869',
    'as protobuf writes it',
  );
  const read = decodeAlertmanagerFrame(Buffer.concat([packet, packet]));
  t.match(read, { ok: true, done: true, kind: 'packet', from: '10.1.0.1:9094', msgAt: 31, end: 34 });
  t.ok(read.ok && read.done && Buffer.from(read.msg).equals(packet.subarray(31, 34)));
  const stream = encodeAlertmanagerFrame({ kind: 'stream', from: 'not written', msg: bytesOf('nor this') });
  t.equal(Buffer.from(stream).toString('hex'), '080000000a0676302e312e30');
  t.match(decodeAlertmanagerFrame(Buffer.concat([stream, bytesOf('\x06')])), {
    kind: 'stream',
    from: '',
    msgAt: 12,
    end: 12,
  });
});

t.test('of repeated fields the last counts, unknown ones are skipped, order is free', async (t) => {
  const twice = message([4, 'first'], [9, 'unknown'], [4, 'second'], [3, 'a'], [2, 1], [3, 'b'], [12, 7]);
  const read = decodeAlertmanagerFrame(twice);
  t.match(read, { kind: 'packet', from: 'b' });
  t.equal(read.ok && read.done && Buffer.from(read.msg).toString(), 'second');
  const emptied = frame(
    Buffer.concat([
      encodeProto([
        [1, 'v0.1.0'],
        [4, 'first'],
      ]),
      Uint8Array.of(0x22, 0),
      encodeProto([[2, 1]]),
    ]),
  );
  const none = decodeAlertmanagerFrame(emptied);
  t.match(none, { kind: 'packet', msgAt: emptied.length, end: emptied.length });
  t.equal(none.ok && none.done && none.msg.length, 0);
});

t.test("a stream's msg is nobody's", async (t) => {
  const read = decodeAlertmanagerFrame(message([3, 'a'], [4, 'ignored']));
  t.match(read, { ok: true, kind: 'stream', from: 'a' });
  t.equal(read.ok && read.done && read.msg.length, 0);
  t.equal(read.ok && read.done && read.msgAt, read.ok && read.done && read.end);
});

t.test('the kind is 32 bits wide, as an enum is in Go', async (t) => {
  t.match(decodeAlertmanagerFrame(message([2, 2 ** 32])), { ok: true, kind: 'stream' });
  t.match(decodeAlertmanagerFrame(message([2, 2 ** 32 + 1])), { ok: true, kind: 'packet' });
});

t.test('what Alertmanager refuses is refused', async (t) => {
  const cases = {
    'nothing at all': frame(NONE),
    'no version': frame(encodeProto([[2, 1]])),
    'another version': frame(
      encodeProto([
        [1, 'v0.2.0'],
        [2, 1],
      ]),
    ),
    'another kind': message([2, 2]),
    'a negative kind': message([2, -1]),
    'msg as a number': message([4, 7]),
    'kind as text': message([2, 'x']),
    'cut inside a field': frame(encodeProto([[1, 'v0.1.0']]).subarray(0, -1)),
    'a group': frame(Buffer.concat([encodeProto([[1, 'v0.1.0']]), Uint8Array.of(0x2b, 0x2c)])),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    t.match(decodeAlertmanagerFrame(bytes), { ok: false, reason: 'alertmanager_malformed' }, name);
  }
});

t.test('the length alone refuses what is too long', async (t) => {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(ALERTMANAGER_FRAME_MAX_BYTES + 1);
  t.strictSame(decodeAlertmanagerFrame(head), { ok: false, reason: 'alertmanager_oversize', at: 0 });
  head.writeUInt32LE(0xffff_ffff);
  t.match(decodeAlertmanagerFrame(head), { ok: false, reason: 'alertmanager_oversize' });
  head.writeUInt32LE(ALERTMANAGER_FRAME_MAX_BYTES);
  t.strictSame(decodeAlertmanagerFrame(head), { ok: true, done: false, needBytes: ALERTMANAGER_FRAME_MAX_BYTES + 4 });
  const from = 'x';
  t.throws(
    () => encodeAlertmanagerFrame({ kind: 'packet', from, msg: Buffer.alloc(ALERTMANAGER_FRAME_MAX_BYTES) }),
    RangeError,
  );
  const largest = encodeAlertmanagerFrame({
    kind: 'packet',
    from,
    msg: Buffer.alloc(ALERTMANAGER_FRAME_MAX_BYTES - 17),
  });
  t.equal(largest.length, ALERTMANAGER_FRAME_MAX_BYTES + 4);
  t.match(decodeAlertmanagerFrame(largest), { ok: true, done: true });
});

t.test('any chunking gives the same frames; a prefix gives none', async (t) => {
  const sent = fc.record({
    kind: fc.constantFrom<'packet' | 'stream'>('packet', 'stream'),
    from: fc.string({ maxLength: 40 }),
    msg: fc.uint8Array({ maxLength: 200 }),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(sent, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (all, cuts) => {
        const bytes = Buffer.concat(all.map(encodeAlertmanagerFrame));
        let held = Buffer.alloc(0);
        const got: string[] = [];
        for (const chunk of chunked(bytes, cuts)) {
          held = Buffer.concat([held, chunk]);
          for (let i = 0; i <= all.length; i++) {
            const state = decodeAlertmanagerFrame(held);
            if (!state.ok) return false;
            if (!state.done) {
              if (state.needBytes <= held.length) return false;
              break;
            }
            got.push(`${state.kind} ${state.from} ${Buffer.from(state.msg).toString('hex')}`);
            held = held.subarray(state.end);
          }
        }
        const expected = all.map(({ kind, from, msg }) =>
          kind === 'packet' ? `${kind} ${from} ${Buffer.from(msg).toString('hex')}` : 'stream  ',
        );
        return held.length === 0 && got.join('\n') === expected.join('\n');
      }),
      PROPERTY,
    ),
  );
});

t.test('total on garbage', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        decodeAlertmanagerFrame(bytes);
        const state = decodeAlertmanagerFrame(frame(Buffer.concat([encodeProto([[1, 'v0.1.0']]), bytes])));
        return !state.ok || state.done;
      }),
      PROPERTY,
    ),
  );
});
