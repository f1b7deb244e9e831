import fc from 'fast-check';
import t from 'tap';
import {
  createFlow,
  createFragmenter,
  type Family,
  fitsDatagram,
  MTU_EVERYWHERE,
  packetBytes,
  writeHeaders,
} from '../../../src/datapath/linux/headers.ts';
import { parseAddress } from '../../../src/wire/address.ts';

const address = (text: string) => parseAddress(text) as Uint8Array;

const ENDS = {
  4: { source: address('10.0.0.1'), sourcePort: 7946, destination: address('10.0.0.2'), destinationPort: 53 },
  6: { source: address('fd00::1'), sourcePort: 1, destination: address('fd00::2'), destinationPort: 65_535 },
} as const;

const FLOWS = {
  4: createFlow(ENDS[4].source, 7946, ENDS[4].destination, 53, 4, false),
  6: createFlow(ENDS[6].source, 1, ENDS[6].destination, 65_535, 6, false),
} as const;

const fragmenter = createFragmenter(0xffff_ffff);

/** `at`: where the payload lies in its memory, at any alignment. */
function build(family: Family, payload: Uint8Array, mtu: number, at = 64, most = Number.POSITIVE_INFINITY): Buffer[] {
  const memory = Buffer.alloc(at + payload.length + 8, 0xee);
  memory.set(payload, at);
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
  const whole = packetBytes(family, payload.length);
  if (whole <= mtu) {
    const from = writeHeaders(view, at, payload.length, FLOWS[family]);
    return [memory.subarray(from, from + whole)];
  }
  const packets: Buffer[] = [];
  fragmenter.cut(view, at, payload.length, FLOWS[family], mtu, (bytes, length) => {
    packets.push(Buffer.from(bytes.subarray(0, length)));
    return packets.length < most;
  });
  return packets;
}

/** The ones' complement sum, one byte at a time: 0xffff when the checksum that it covers is right (RFC 1071). */
function onesSum(bytes: Buffer): number {
  let sum = 0;
  bytes.forEach((byte, i) => {
    sum += i % 2 === 0 ? byte << 8 : byte;
    if (sum > 0xffff) sum -= 0xffff;
  });
  return sum;
}

/** A naive receiver: checks headers, puts fragments together, checks the UDP checksum; gives the payload. */
function receive(family: Family, packets: readonly Buffer[]): Buffer {
  const pieces = packets.map((packet) => (family === 4 ? readIpv4(packet) : readIpv6(packet)));
  pieces.sort((a, b) => a.offset - b.offset);
  if (new Set(pieces.map(({ id }) => id)).size !== 1) throw new Error('fragments of several datagrams');
  const datagram = Buffer.concat(
    pieces.map(({ data, offset, more }, i) => {
      const end = pieces[i + 1]?.offset;
      if (more !== (end !== undefined)) throw new Error('wrong "more fragments"');
      if (end !== undefined && offset + data.length !== end) throw new Error('a gap or an overlap');
      return data;
    }),
  );
  const flow = ENDS[family];
  if (datagram.readUInt16BE(0) !== flow.sourcePort || datagram.readUInt16BE(2) !== flow.destinationPort) {
    throw new Error('ports');
  }
  if (datagram.readUInt16BE(4) !== datagram.length || datagram.readUInt16BE(6) === 0) throw new Error('UDP header');
  const skip = family === 4 ? 12 : 0;
  const pseudo = Buffer.concat([flow.source.subarray(skip), flow.destination.subarray(skip), Buffer.alloc(4)]);
  pseudo.writeUInt16BE(17, pseudo.length - 4);
  pseudo.writeUInt16BE(datagram.length, pseudo.length - 2);
  if (onesSum(Buffer.concat([pseudo, datagram])) !== 0xffff) throw new Error('UDP checksum');
  return datagram.subarray(8);
}

interface Piece {
  readonly data: Buffer;
  readonly offset: number;
  readonly more: boolean;
  readonly id: number;
}

function readIpv4(packet: Buffer): Piece {
  if (packet[0] !== 0x45 || packet[9] !== 17 || packet.readUInt16BE(2) !== packet.length)
    throw new Error('IPv4 header');
  if (onesSum(packet.subarray(0, 20)) !== 0xffff) throw new Error('IPv4 checksum');
  const fragment = packet.readUInt16BE(6);
  if ((fragment & 0x4000) !== 0) throw new Error('DF');
  const id = packet.readUInt16BE(4);
  if (fragment !== 0 && id === 0) throw new Error('a fragment without identification');
  return { data: packet.subarray(20), offset: (fragment & 0x1fff) * 8, more: (fragment & 0x2000) !== 0, id };
}

function readIpv6(packet: Buffer): Piece {
  if (packet[0] !== 0x60 || packet.readUInt16BE(4) !== packet.length - 40) throw new Error('IPv6 header');
  if (packet[6] === 17) return { data: packet.subarray(40), offset: 0, more: false, id: 0 };
  if (packet[6] !== 44 || packet[40] !== 17) throw new Error('IPv6 next header');
  const field = packet.readUInt16BE(42);
  return { data: packet.subarray(48), offset: field & 0xfff8, more: (field & 1) === 1, id: packet.readUInt32BE(44) };
}

t.test('what is built is what a receiver reads, for every size, MTU and alignment', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.constantFrom<Family>(4, 6),
        fc.uint8Array({ maxLength: 4_200 }),
        fc.integer({ min: 576, max: 3_000 }),
        fc.integer({ min: 48, max: 70 }),
        (family, payload, mtu, at) => {
          const packets = build(family, payload, mtu, at);
          if (packets.some((packet) => packet.length > mtu)) return false;
          if (packetBytes(family, payload.length) <= mtu !== (packets.length === 1)) return false;
          return receive(family, packets).equals(payload);
        },
      ),
      { numRuns: 300 },
    ),
  );
});

t.test('the edges', async (t) => {
  const none = Buffer.alloc(0);
  for (const [family, most] of [
    [4, 65_507],
    [6, 65_527],
  ] as const) {
    t.ok(fitsDatagram(family, most));
    t.notOk(fitsDatagram(family, most + 1));
    const body = Buffer.alloc(most, 0xf7);
    t.ok(receive(family, build(family, body, 1_500)).equals(body), `IPv${family}: the largest, in fragments`);
    t.ok(receive(family, build(family, body, Number.POSITIVE_INFINITY)).equals(body), 'and in one piece');
    t.equal(receive(family, build(family, none, 1_500)).length, 0, 'and the empty one');
    t.ok(build(family, Buffer.alloc(1_000), 1).length <= 2, 'an MTU that cannot be is not believed');
  }
  // The words 0xffff - sum(rest) make the computed checksum zero, which must be sent as 0xffff.
  const zero = Buffer.alloc(2);
  for (let word = 0; word <= 0xffff; word++) {
    zero.writeUInt16BE(word);
    if (build(4, zero, 1_500)[0]?.readUInt16BE(26) === 0xffff) break;
  }
  const [packet] = build(4, zero, 1_500);
  t.equal(packet?.readUInt16BE(26), 0xffff, 'a checksum of zero is sent in its other form');
  t.ok(receive(4, [packet ?? none]).equals(zero));
});

t.test('a refused fragment ends the datagram', async (t) => {
  t.equal(build(4, Buffer.alloc(5_000), 1_500, 64, 2).length, 2);
});

t.test('what stays on this host', async (t) => {
  const build = (family: Family, bytes = 100) => {
    const { source, sourcePort, destination, destinationPort } = ENDS[family];
    const memory = Buffer.alloc(64 + bytes, 0xf7);
    const flow = createFlow(source, sourcePort, destination, destinationPort, family, true);
    const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
    return memory.subarray(writeHeaders(view, 64, bytes, flow));
  };
  const four = build(4);
  const { data, id } = readIpv4(four);
  t.equal(id, 1, 'IPv4: the kernel need not choose an identification');
  t.equal(data.subarray(0, 8).toString('hex'), '1f0a0035006c0000', 'nor the receiver compare a checksum');
  t.ok(data.subarray(8).equals(Buffer.alloc(100, 0xf7)));
  const room = MTU_EVERYWHERE - 28;
  t.equal(readIpv4(build(4, room)).data.readUInt16BE(6), 0);
  const large = build(4, room + 1);
  t.equal(readIpv4(large).id, 0, 'what somebody might cut after all has an identification of its own');
  t.ok(receive(4, [large]).equals(Buffer.alloc(room + 1, 0xf7)), 'and a checksum');
  t.ok(receive(6, [build(6)]).equals(Buffer.alloc(100, 0xf7)), 'IPv6 has no datagrams without a checksum');
});
