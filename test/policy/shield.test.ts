// The shield against its two corpora: everything that members wrote passes, every attack is refused with its reason.
import t from 'tap';
import { harmOfPacket } from '../../src/policy/shield-packet.ts';
import { createStreamShield, type StreamShieldState } from '../../src/policy/shield-stream.ts';
import { peekPacketLabel } from '../../src/wire/label.ts';
import { decodeStreamHeader } from '../../src/wire/stream-header.ts';
import { DOCUMENTS, isPacket, openSeal, unhex, type Vector } from '../wire/golden.ts';
import { ATTACKS } from './attacks.ts';

const DIGEST_BYTES = 16;
const everywhere = () => true;

/** What follows the labels of the frames in a vector: an Alertmanager connection holds several. */
function bodiesOf(vector: Vector): Uint8Array[] {
  if (vector.kind !== 'alertmanager') {
    const body = bodyOf(vector);
    return body === undefined ? [] : [body];
  }
  const frames = (vector.frames ?? []) as readonly { readonly kind: string; readonly msgHex: string }[];
  return frames.flatMap(({ kind, msgHex }) => (kind === 'packet' ? (afterPacketLabel(unhex(msgHex)) ?? []) : []));
}

/** What follows the label of a vector's frame, opened; undefined for a frame whose header is malformed, or that is none. */
function bodyOf(vector: Vector): Uint8Array | undefined {
  const bytes = unhex(vector.hex);
  const body = afterLabel(vector, bytes);
  if (body === undefined || vector.seal === undefined) return body;
  const opened = openSeal(vector, body);
  return opened.ok ? opened.value.plain : undefined;
}

function afterLabel({ kind }: Vector, bytes: Uint8Array): Uint8Array | undefined {
  if (kind === 'answer') return bytes;
  if (kind === 'packet') return afterPacketLabel(bytes);
  if (kind === 'dskit-packet') return afterPacketLabel(bytes.subarray(2 + (bytes[1] ?? 0), -DIGEST_BYTES));
  if (kind !== 'stream' && kind !== 'dskit-stream') return undefined;
  const whole = decodeStreamHeader(bytes, true, 'auto');
  const at = whole.done && 'bodyAt' in whole.header ? whole.header.bodyAt : bytes.length;
  return at < bytes.length ? bytes.subarray(at) : undefined;
}

function afterPacketLabel(packet: Uint8Array): Uint8Array | undefined {
  const peeked = peekPacketLabel(packet);
  return peeked.ok && peeked.value.bodyAt < packet.length ? packet.subarray(peeked.value.bodyAt) : undefined;
}

/** The state after the bytes, given in pieces. */
function shieldOf(bytes: Uint8Array, pieceBytes: number): StreamShieldState {
  const shield = createStreamShield();
  let state: StreamShieldState = { state: 'hold' };
  for (let at = 0; at < bytes.length && state.state === 'hold'; at += pieceBytes) {
    state = shield.push(bytes.subarray(at, at + pieceBytes));
  }
  return state.state === 'hold' ? shield.end() : state;
}

for (const { origin, vectors } of DOCUMENTS) {
  t.test(`what ${origin} wrote passes`, async (t) => {
    let frames = 0;
    const harmful: unknown[] = [];
    for (const vector of vectors) {
      for (const body of bodiesOf(vector)) {
        frames++;
        if (isPacket(vector) || vector.kind === 'alertmanager') {
          const harm = harmOfPacket(body, everywhere, vector.kind === 'packet');
          if (harm !== undefined) harmful.push([vector.name, harm]);
          continue;
        }
        for (const pieceBytes of [body.length, 1]) {
          const { state, reason } = shieldOf(body, pieceBytes);
          if (state !== 'clear') harmful.push([vector.name, state, reason]);
        }
      }
    }
    t.strictSame(harmful, [], 'not one is refused');
    t.ok(frames > 0, `${frames} frames`);
  });
}

t.test('a legitimate exchange is cleared as soon as its rows are read', async (t) => {
  const vectors = DOCUMENTS.flatMap(({ vectors }) => vectors).filter(
    ({ seal, messages }) => seal === undefined && messages !== undefined,
  );
  const bodies = vectors.filter((vector) => !isPacket(vector)).flatMap((vector) => bodyOf(vector) ?? []);
  for (const body of bodies.filter((bytes) => bytes[0] === 6 || bytes[0] === 8)) {
    t.equal(createStreamShield().push(body).state, 'clear', 'it needs no end');
  }
});

for (const attack of ATTACKS) {
  const { name, row, kind, reason } = attack;
  t.test(`row ${row}: ${name}`, async (t) => {
    const bytes = attack.bytes();
    if (kind === 'packet') {
      t.equal(harmOfPacket(bytes, everywhere, true), reason, 'as a datagram');
      t.equal(harmOfPacket(bytes, everywhere, false), reason, 'as a packet of a connection');
      return;
    }
    for (const pieceBytes of [bytes.length, 4096, 7]) {
      t.match(shieldOf(bytes, pieceBytes), { state: 'harm', reason }, `in pieces of ${pieceBytes}`);
    }
  });
}
