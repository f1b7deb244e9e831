import fc from 'fast-check';
import t from 'tap';
import { createDissector, type Datagram } from '../../../src/wire/capture/dissect.ts';
import type { CapturedFrame } from '../../../src/wire/capture/frame.ts';
import { OTHER_PORTS_MAX } from '../../../src/wire/capture/limits.ts';
import { LINK } from '../../../src/wire/capture/link.ts';
import { PROPERTY } from '../../property.ts';
import { ethernet, FLAGS, ip4, ip6, tcp, udp } from './build.ts';

const [ONE, TWO] = ['10.0.0.1', '10.0.0.2'];
const DATA = Buffer.from('gossip');

interface Given extends Partial<CapturedFrame> {
  readonly bytes: Uint8Array;
}

function dissect(frames: readonly Given[]) {
  const told: string[] = [];
  const datagrams: Datagram[] = [];
  const dissector = createDissector({
    isGossipPort: (port) => port === 7_946,
    datagram: (datagram) => datagrams.push({ ...datagram, payload: Uint8Array.from(datagram.payload) }),
    connection: ({ dialler, answerer }) => {
      told.push(`${dialler.address} ${answerer.address}:${answerer.port}`);
      return {
        data: (side, bytes) => told.push(`${side} ${Buffer.from(bytes).toString()}`),
        gap: (side, missing) => told.push(`${side} <${missing}>`),
        finished: (side) => told.push(`${side} fin`),
        end: (how) => told.push(how),
      };
    },
  });
  for (const [i, frame] of frames.entries()) {
    dissector.frame({
      number: i + 1,
      atMs: 1_000 + i,
      linkType: LINK.ethernet,
      wireBytes: frame.bytes.length,
      ...frame,
    });
  }
  dissector.end();
  return { told, datagrams, dissector, counts: dissector.counts() };
}

const frame4 = (protocol: number, payload: Uint8Array, options = {}) => ({
  bytes: ethernet(0x0800, ip4(ONE, TWO, protocol, payload, options)),
});

t.test('datagrams, over both families', async (t) => {
  const { datagrams, counts } = dissect([
    frame4(17, udp(7_946, 7_946, DATA)),
    { bytes: ip6('fd77::1', 'fd77::2', 17, udp(40_000, 7_946, DATA)), linkType: LINK.raw, atMs: undefined },
    { bytes: DATA, linkType: LINK.gossip },
    {
      ...frame4(17, udp(7_946, 7_946, DATA)),
      bytes: frame4(17, udp(7_946, 7_946, DATA)).bytes.subarray(0, 45),
      wireBytes: 48,
    },
    frame4(17, udp(7_946, 7_946, DATA, 0)),
    frame4(17, udp(7_946, 7_946, DATA, 4)),
  ]);
  t.match(datagrams, [
    {
      number: 1,
      atMs: 1_000,
      source: { address: ONE, port: 7_946 },
      destination: { address: TWO, port: 7_946 },
      missing: 0,
    },
    { number: 2, atMs: undefined, source: { address: 'fd77::1', port: 40_000 }, missing: 0 },
    { number: 3, source: undefined, destination: undefined },
    { number: 4, missing: 3 },
    { number: 5, missing: 0 },
    { number: 6, missing: 0 },
  ]);
  t.strictSame(
    datagrams.map(({ payload }) => Buffer.from(payload).toString()),
    ['gossip', 'gossip', 'gossip', 'gos', 'gossip', ''],
  );
  t.match(counts, { frames: 6, udp: 5, cut: 1, malformed: 0 });
});

t.test('fragments and connections', async (t) => {
  const whole = udp(7_946, 7_946, Buffer.alloc(20, 97));
  const { datagrams, told, counts, dissector } = dissect([
    frame4(17, whole.subarray(16), { offset: 16 }),
    frame4(17, whole.subarray(0, 16), { more: true }),
    frame4(17, whole.subarray(0, 16), { more: true, id: 9 }),
    frame4(6, tcp(40_000, 7_946, 99, FLAGS.syn)),
    frame4(6, tcp(40_000, 7_946, 100, FLAGS.ack, DATA)),
    { bytes: frame4(6, tcp(40_000, 7_946, 106, FLAGS.ack | FLAGS.fin, DATA)).bytes.subarray(0, 56), wireBytes: 60 },
  ]);
  t.match(datagrams, [{ number: 2, payload: Buffer.alloc(20, 97) }]);
  t.strictSame(told, [`${ONE} ${TWO}:7946`, 'dialler gossip', 'dialler go', 'dialler <4>', 'dialler fin', 'cut']);
  t.match(counts, { fragments: 3, tcp: 3, cut: 1 });
  t.strictSame([dissector.lostDatagrams(), dissector.evictedConnections()], [1, 0]);
});

t.test('what is left out is counted', async (t) => {
  const { counts, dissector, datagrams } = dissect([
    { bytes: ethernet(0x0806, DATA) },
    { bytes: DATA, linkType: 105 },
    { bytes: DATA },
    { bytes: ethernet(0x0800, DATA) },
    frame4(17, Buffer.from('short')),
    frame4(6, Buffer.from('short')),
    frame4(1, DATA),
    frame4(17, udp(53, 9_000, DATA)),
    frame4(6, tcp(40_000, 443, 1, FLAGS.syn)),
    frame4(6, tcp(443, 40_000, 1, FLAGS.syn)),
  ]);
  t.match(counts, {
    frames: 10,
    notIp: 1,
    linkUnknown: 1,
    malformed: 4,
    otherProtocols: 1,
    otherPorts: 3,
    udp: 0,
    tcp: 0,
  });
  t.strictSame(dissector.otherPorts(5), [
    { port: 443, frames: 2 },
    { port: 53, frames: 1 },
  ]);
  t.strictSame(dissector.otherPorts(1), [{ port: 443, frames: 2 }]);
  t.strictSame(dissector.unknownLinks(), [105]);
  t.strictSame(datagrams, []);
  const many = Array.from({ length: OTHER_PORTS_MAX + 9 }, (_, i) => frame4(17, udp(10_000 + i, 60_000, DATA)));
  t.equal(dissect(many).dissector.otherPorts(OTHER_PORTS_MAX * 2).length, OTHER_PORTS_MAX);
  const links = Array.from({ length: OTHER_PORTS_MAX + 9 }, (_, i) => ({ bytes: DATA, linkType: 1_000 + i }));
  t.equal(dissect(links).dissector.unknownLinks().length, OTHER_PORTS_MAX);
});

t.test('property: any bytes behind any link are counted once', async (t) => {
  const link = fc.constantFrom(...Object.values(LINK), 105);
  const frame = fc.record({
    linkType: link,
    bytes: fc.uint8Array({ maxLength: 90 }),
    head: fc.constantFrom('', '45000030', '60000000'),
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
        const given = frames.map(({ linkType, bytes, head }) => ({
          linkType,
          bytes: Buffer.concat([Buffer.from(head, 'hex'), bytes]),
        }));
        const { counts } = dissect(given);
        const gossip = frames.filter(({ linkType }) => linkType === LINK.gossip).length;
        const { notIp, linkUnknown, malformed, fragments, otherProtocols, otherPorts, udp: udps, tcp: tcps } = counts;
        const sum = notIp + linkUnknown + malformed + fragments + otherProtocols + otherPorts + udps + tcps + gossip;
        return counts.frames === frames.length && sum >= frames.length && sum <= frames.length + fragments;
      }),
      PROPERTY,
    ),
  );
});
