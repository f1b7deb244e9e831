/**
 * Frames that crash or exhaust a member (wire-protocol §6), one table for the unit tests of the shield and for the proofs against real
 * members. Bytes follow the label; every one was seen to do to the named release what it says, or is a variant of one that was.
 */
import type { ShieldReason } from '../../src/policy/reason.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodePushPull, type PushPullNode } from '../../src/wire/push-pull.ts';

type Release = 'v0.6.0' | 'v0.5.0' | 'v0.2.2';

export interface Attack {
  readonly name: string;
  /** Row of wire-protocol §6. */
  readonly row: number;
  readonly kind: 'packet' | 'stream';
  readonly reason: ShieldReason;
  /** Releases of memberlist that it was seen to end, by itself and at once. */
  readonly ends: readonly Release[];
  /** Made when it is asked for: some take a second to pack. */
  bytes(): Uint8Array;
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** msgpack text of up to 31 bytes. */
export const text = (value: string): Uint8Array => join(Uint8Array.of(0xa0 | value.length), ascii(value));
/** A map of names and values that are msgpack already. */
export const map = (...entries: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
  join(Uint8Array.of(0x80 | entries.length), ...entries.flatMap(([name, value]) => [text(name), value]));
export const int64 = (value: bigint): Uint8Array => {
  const out = Buffer.alloc(9, 0xd3);
  out.writeBigInt64BE(value, 1);
  return Uint8Array.from(out);
};

const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

export const aliveMessage = (Vsn: Uint8Array, Incarnation = 7): Uint8Array =>
  encodeMessage({
    type: 'alive',
    Incarnation,
    Node: 'stranger',
    Addr: Uint8Array.of(127, 0, 0, 9),
    Port: 7946,
    Meta: new Uint8Array(0),
    Vsn,
  });

export const rowOf = (Vsn: Uint8Array, Incarnation = 7): PushPullNode => ({
  Name: 'stranger',
  Addr: Uint8Array.of(127, 0, 0, 9),
  Port: 7946,
  Meta: new Uint8Array(0),
  Incarnation,
  State: 0,
  Vsn,
});

export const pushPullOf = (join: boolean, node: PushPullNode): Uint8Array =>
  encodePushPull({ join, nodes: [node], userState: new Uint8Array(0) });

const header = (type: number, ...entries: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
  join(Uint8Array.of(type), map(...entries));
const pushPullHeader = (nodes: bigint, userBytes: bigint): Uint8Array =>
  header(6, ['Join', hex('c2')], ['Nodes', int64(nodes)], ['UserStateLen', int64(userBytes)]);

const empty = new Uint8Array(0);
const packet = (
  row: number,
  reason: ShieldReason,
  ends: readonly Release[],
  name: string,
  make: () => Uint8Array,
): Attack => {
  let made: Uint8Array | undefined;
  return { name, row, kind: 'packet', reason, ends, bytes: () => (made ??= make()) };
};
const stream = (...args: Parameters<typeof packet>): Attack => ({ ...packet(...args), kind: 'stream' });

/** 0x91 over and over: a list of one list of one list. */
const nested = (levels: number): Uint8Array => new Uint8Array(levels).fill(0x91);
const unknownField = (value: Uint8Array): Uint8Array => map(['Junk', value]);
const deepStream = (): Uint8Array => join(Uint8Array.of(6), unknownField(nested(3_000_000)));
const deepPacket = (): Uint8Array => join(Uint8Array.of(2), unknownField(nested(3_000_000)));

export const ATTACKS: readonly Attack[] = [
  packet(1, 'shield_empty_message', ['v0.2.2'], 'an empty part of a compound', () => hex('07 01 00 00')),
  packet(1, 'shield_empty_message', ['v0.2.2'], 'a compound that ends after its count', () => hex('07 80')),
  packet(1, 'shield_empty_message', ['v0.2.2'], 'a checksum around nothing', () => hex('0c 00 00 00 00')),
  packet(1, 'shield_empty_message', ['v0.2.2'], 'a compress layer around nothing', () => encodeCompress(empty, 0)),
  packet(1, 'shield_empty_message', ['v0.2.2'], 'an empty part inside compress and checksum', () =>
    addCrc(encodeCompress(hex('07 01 00 00'), 0)),
  ),
  packet(2, 'shield_bad_version', ['v0.6.0', 'v0.2.2'], 'an alive with one version', () =>
    aliveMessage(VSN.subarray(0, 1)),
  ),
  packet(2, 'shield_bad_version', ['v0.6.0'], 'an alive with five versions', () => aliveMessage(VSN.subarray(0, 5))),
  packet(2, 'shield_bad_version', ['v0.6.0'], 'an alive with two versions in a compressed compound', () =>
    encodeCompress(encodeCompound([hex('0b81a5'), aliveMessage(VSN.subarray(0, 2))]), 0),
  ),
  packet(6, 'shield_bomb', [], 'a compress bomb', () => encodeCompress(new Uint8Array(48 * 1024 * 1024), 0)),
  packet(11, 'shield_bomb', [], 'a Snappy block that claims 4 GiB', () =>
    join(hex('09'), map(['Algo', hex('01')], ['Buf', join(hex('a6'), hex('ff ff ff ff 0f 00'))])),
  ),
  packet(13, 'shield_bad_length', [], 'a ping whose key claims 4 GiB', () => hex('00 81 db ff ff ff ff')),
  packet(13, 'shield_bad_length', ['v0.5.0', 'v0.2.2'], 'an ack with a list that claims 64 GiB', () =>
    join(hex('02'), unknownField(hex('dd ff ff ff ff'))),
  ),
  packet(13, 'shield_bad_length', [], 'a nack with a map that claims 4 billion entries', () =>
    join(hex('0b'), unknownField(hex('df ff ff ff ff'))),
  ),
  packet(14, 'shield_bomb', ['v0.5.0'], 'lists in lists, three million deep, compressed', () =>
    encodeCompress(deepPacket(), 0),
  ),
  packet(15, 'shield_bad_incarnation', [], 'a suspicion that cannot be refuted', () =>
    encodeMessage({ type: 'suspect', Incarnation: 0xffff_ffff, Node: 'victim', From: 'stranger' }),
  ),
  stream(3, 'shield_bad_version', ['v0.6.0'], 'a join with a row of five versions', () =>
    pushPullOf(true, rowOf(VSN.subarray(0, 5))),
  ),
  stream(3, 'shield_bad_version', ['v0.6.0'], 'a push/pull with a row of three versions', () =>
    pushPullOf(false, rowOf(VSN.subarray(0, 3))),
  ),
  stream(3, 'shield_bad_version', ['v0.6.0'], 'a push/pull with a row of one version, compressed', () =>
    encodeCompress(pushPullOf(false, rowOf(VSN.subarray(0, 1))), 0),
  ),
  stream(4, 'shield_empty_message', ['v0.6.0'], 'a compress layer around nothing', () => encodeCompress(empty, 0)),
  stream(5, 'shield_bad_length', ['v0.5.0'], 'a push/pull of -1 nodes', () => pushPullHeader(-1n, 0n)),
  stream(5, 'shield_bad_length', ['v0.5.0'], 'a push/pull of 2^48 nodes', () => pushPullHeader(2n ** 48n, 0n)),
  stream(5, 'shield_bad_length', ['v0.5.0'], 'a push/pull with a user state of 2^50 bytes', () =>
    pushPullHeader(0n, 2n ** 50n),
  ),
  stream(5, 'shield_bad_length', ['v0.6.0'], 'a user message of 2^50 bytes', () =>
    header(8, ['UserMsgLen', int64(2n ** 50n)]),
  ),
  stream(8, 'shield_push_pull_size', [], 'a push/pull of a million nodes', () => pushPullHeader(1_000_000n, 0n)),
  stream(13, 'shield_bad_length', [], 'a push/pull whose key claims 4 GiB', () => hex('06 81 db ff ff ff ff')),
  stream(14, 'shield_bomb', ['v0.5.0'], 'lists in lists, three million deep', deepStream),
  stream(15, 'shield_bad_incarnation', [], 'a row that cannot be refuted', () =>
    pushPullOf(false, rowOf(VSN, 0xffff_ffff)),
  ),
];
