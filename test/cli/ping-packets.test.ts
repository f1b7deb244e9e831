// Pings by datagram: what counts as an answer, and what does not. Real members: test/interop.
import { createSocket } from 'node:dgram';
import t from 'tap';
import { PACKET_WAIT_MS } from '../../src/cli/ping-packets.ts';
import type { FenceConfig } from '../../src/config/types.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { addPacketLabel, encodeLabelHeader } from '../../src/wire/label.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { isProbe } from '../../src/wire/probe.ts';
import { FOREIGN } from '../datapath/harness.ts';

import { ack, answered, LISTEN, member, OWN_HEADER, pingIn, roundOf, SILENT, target, UNABLE, udp } from './ping-kit.ts';

t.test('what is sent', async (t) => {
  const frames: Buffer[] = [];
  const port = await udp(t, (frame, from, socket) => {
    frames.push(frame);
    t.equal(from.address, '127.0.0.1');
    socket.send(ack(pingIn(frame).SeqNo), from.port, from.address);
  });
  const { packet } = roundOf(t);
  await packet(target(port));
  await packet(target(port));
  const [first, second] = frames as [Buffer, Buffer];
  t.strictSame([...first.subarray(0, OWN_HEADER.length)], [...OWN_HEADER]);
  t.ok(isProbe(first.subarray(OWN_HEADER.length)));
  t.match(pingIn(first), { Node: 'm', SourcePort: 0, SourceNode: '' });
  t.not(pingIn(first).SeqNo, pingIn(second).SeqNo, 'each has a number of its own');
});

t.test('what is an answer by datagram', { jobs: 8 }, async (t) => {
  const answers: Readonly<Record<string, [(seqNo: number) => Uint8Array[], object]>> = {
    'with the label': [(seqNo) => [addPacketLabel(ack(seqNo), OWN_HEADER)], answered('own')],
    without: [(seqNo) => [ack(seqNo)], answered('none')],
    'with a checksum': [(seqNo) => [addPacketLabel(addCrc(ack(seqNo)), OWN_HEADER)], answered('own')],
    packed: [(seqNo) => [encodeCompress(ack(seqNo), 0)], answered('none')],
    'among gossip': [(seqNo) => [encodeCompound([Buffer.from([8, 1]), ack(seqNo)])], answered('none')],
    'after nonsense': [(seqNo) => [Buffer.from('f4'), Buffer.alloc(0), Buffer.from([7]), ack(seqNo)], answered('none')],
    'under another label': [(seqNo) => [addPacketLabel(ack(seqNo), encodeLabelHeader(FOREIGN))], SILENT],
    'with another number': [(seqNo) => [ack((seqNo + 1) % 2 ** 32)], SILENT],
    'not an ack': [(SeqNo) => [encodeMessage({ type: 'nackResp', SeqNo })], SILENT],
    'with a wrong checksum': [(seqNo) => [addCrc(ack(seqNo)).fill(0, 1, 5)], SILENT],
    'after too much': [(seqNo) => [...Array.from({ length: 8 }, () => Buffer.from([8])), ack(seqNo)], SILENT],
    nothing: [() => [], SILENT],
  };
  for (const [name, [made, expected]] of Object.entries(answers)) {
    void t.test(name, async (t) => {
      const port = await member(t, ({ SeqNo }) => made(SeqNo));
      t.strictSame(await roundOf(t).packet(target(port)), expected);
    });
  }
});

t.test('an answer from elsewhere is none', async (t) => {
  const other = createSocket('udp4');
  t.teardown(() => other.close());
  const port = await udp(t, (frame, from) => other.send(ack(pingIn(frame).SeqNo), from.port, from.address));
  t.strictSame(await roundOf(t).packet(target(port)), SILENT, 'another port');
});

t.test('an answer that comes too late is none, also in the next round', async (t) => {
  const late: (() => void)[] = [];
  const port = await udp(t, (frame, from, socket) => {
    late.push(() => socket.send(ack(pingIn(frame).SeqNo), from.port, from.address));
  });
  const first = roundOf(t);
  t.strictSame(await first.packet(target(port)), SILENT);
  const again = first.packet(target(port));
  late[0]?.();
  t.strictSame(await again, SILENT, 'the answer to an earlier ping');
});

t.test('what we cannot ask', async (t) => {
  const { packet, stream, close } = roundOf(t);
  t.strictSame(await packet(target(0)), UNABLE, 'a port that is none');
  t.strictSame(await stream(target(0)), UNABLE);
  t.strictSame(
    await packet({ ...target(9), address: '255.255.255.255' }),
    UNABLE,
    'an address that we may not send to',
  );
  t.strictSame(await packet(target(9, 'n'.repeat(70_000))), UNABLE, 'a name that no datagram holds');
  const port = await udp(t, () => undefined);
  const pending = packet(target(port));
  t.strictSame(await packet(target(port)), UNABLE, 'twice at the same time');
  close();
  t.strictSame(await pending, UNABLE, 'the round ended');
  t.strictSame(await packet(target(port)), UNABLE, 'and is over');
  const elsewhere = roundOf(t, {
    mode: { ...LISTEN, listen: { address: '192.0.2.1', port: 7946 } } as FenceConfig['mode'],
  });
  t.strictSame(await elsewhere.packet(target(port)), UNABLE, 'an address of ours that we do not have');
  t.strictSame(await elsewhere.packet(target(port)), UNABLE);
  t.strictSame(await elsewhere.stream(target(port)), UNABLE);
});

t.test('a process that was given no time takes nobody for silent', async (t) => {
  const port = await member(t, ({ SeqNo }) => [ack(SeqNo)]);
  const { packet } = roundOf(t);
  await packet(target(port));
  const pending = packet(target(port));
  const endMs = performance.now() + PACKET_WAIT_MS + 500;
  while (performance.now() < endMs);
  t.strictSame(await pending, answered('none'), 'the answer comes after the time that it was given');
});
