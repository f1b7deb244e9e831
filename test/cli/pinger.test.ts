// The pinger against members that are made up, on loopback: what counts as an answer, and what does not. Real members: test/interop.
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { SYSTEM_CLOCK } from '../../src/cli/clock.ts';
import { createPinger, type PingerOptions } from '../../src/cli/pinger.ts';
import type { FenceConfig } from '../../src/config/types.ts';
import type { PingRound } from '../../src/control/prober.ts';
import { noteStreamOfApp } from '../../src/datapath/app-seals.ts';
import { decide } from '../../src/policy/decide.ts';
import { createTally, TALLY_BYTES } from '../../src/policy/tally.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import { encodeCompress } from '../../src/wire/compress.ts';
import { addCrc } from '../../src/wire/crc.ts';
import { createKeyring, openPacket, openStream, sealPacket, sealStream } from '../../src/wire/encryption.ts';
import { encodeErrorFrame } from '../../src/wire/error-frame.ts';
import { addPacketLabel, encodeLabelHeader, peekPacketLabel } from '../../src/wire/label.ts';
import { decodeMessage, encodeMessage, type MessageOf } from '../../src/wire/messages.ts';
import { isProbe } from '../../src/wire/probe.ts';
import type { Transport } from '../../src/wire/transport.ts';
import { FOREIGN, makeContext, OWN } from '../datapath/harness.ts';

const OWN_HEADER = encodeLabelHeader(OWN);
const LISTEN: FenceConfig['mode'] = {
  kind: 'listen',
  listen: { address: '127.0.0.1', port: 7946 },
  app: { address: '127.0.0.1', port: 7947 },
};
const TRANSPARENT = (port: number): FenceConfig['mode'] => ({
  ...{ kind: 'transparent', port, peerPorts: [], proxyPort: 17946, uid: 7946, tcpSource: 'peer', whenDown: 'closed' },
});
const DIALECTS = { sends: 'none', takes: 'none', wire: 'none' } as const;

const SILENT = { outcome: 'silent' };
const UNABLE = { outcome: 'unable' };
const answered = (label: 'own' | 'none' | undefined) => ({ outcome: 'answered', label });

function pingerOf(more: Partial<PingerOptions> & { mode?: FenceConfig['mode'] } = {}) {
  const { context } = makeContext();
  const config = { mode: more.mode ?? LISTEN, dialects: DIALECTS, encryption: { keyFiles: [], reseal: false } };
  const streams = { transport: 'native' } as const;
  const options = { config, context, streams, clock: SYSTEM_CLOCK, tallies: () => [], ...more };
  return { context: options.context, pinger: createPinger(options) };
}

/** A round of a pinger, closed with the test. */
function roundOf(t: Test, more: Parameters<typeof pingerOf>[0] = {}) {
  const { context, pinger } = pingerOf(more);
  const round = pinger.round() as PingRound;
  t.teardown(() => round.close());
  const packet = round.packet as NonNullable<PingRound['packet']>;
  return { context, packet, stream: round.stream.bind(round), close: () => round.close() };
}

const target = (port: number, name: string | undefined = 'm') => ({ name, address: '127.0.0.1', port });

function pingIn(frame: Uint8Array): MessageOf<'ping'> {
  const peeked = peekPacketLabel(frame);
  const message = peeked.ok ? decodeMessage(frame.subarray(peeked.value.bodyAt)) : peeked;
  if (!message.ok || message.value.type !== 'ping') throw new Error('no ping');
  return message.value;
}

const ack = (SeqNo: number) => encodeMessage({ type: 'ackResp', SeqNo, Payload: new Uint8Array(0) });

async function udp(t: Test, answer: (frame: Buffer, from: RemoteInfo, socket: UdpSocket) => void): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (frame, from) => answer(frame, from, socket));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return socket.address().port;
}

/** A member that answers datagrams with what `made` makes of a ping. */
const member = (t: Test, made: (ping: MessageOf<'ping'>) => readonly Uint8Array[]) =>
  udp(t, (frame, { port, address }, socket) => {
    for (const datagram of made(pingIn(frame))) socket.send(datagram, port, address);
  });

async function tcp(t: Test, answer: (frame: Buffer, socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (frame) => answer(frame, socket));
    t.teardown(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

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

t.test('what is an answer on a connection', { jobs: 8 }, async (t) => {
  const bytewise = (bytes: Uint8Array, socket: Socket) => {
    let at = 0;
    const timer = setInterval(() => {
      if (at < bytes.length && !socket.destroyed) socket.setNoDelay(true).write(bytes.subarray(at, ++at));
      else clearInterval(timer);
    }, 2);
  };
  const answers: Readonly<Record<string, [(seqNo: number, socket: Socket) => void, object]>> = {
    'at once': [(seqNo, socket) => socket.end(ack(seqNo)), answered(undefined)],
    'byte by byte': [(seqNo, socket) => bytewise(ack(seqNo), socket), answered(undefined)],
    'packed, byte by byte': [(seqNo, socket) => bytewise(encodeCompress(ack(seqNo), 0), socket), answered(undefined)],
    'another number': [(seqNo, socket) => socket.write(ack((seqNo + 1) % 2 ** 32)), SILENT],
    'an error frame': [(_seqNo, socket) => socket.write(encodeErrorFrame('no')), SILENT],
    'a label in front': [(seqNo, socket) => socket.write(addPacketLabel(ack(seqNo), OWN_HEADER)), SILENT],
    'sealed, and we have no key': [(_seqNo, socket) => socket.write(Buffer.from([10, 0, 0, 0, 40])), SILENT],
    'cut off': [(seqNo, socket) => socket.end(ack(seqNo).subarray(0, 5)), SILENT],
    'an end': [(_seqNo, socket) => socket.end(), SILENT],
    'a reset': [(_seqNo, socket) => socket.resetAndDestroy(), SILENT],
    'without end': [
      (_seqNo, socket) => socket.write(Buffer.concat([Buffer.from('0281da', 'hex'), Buffer.alloc(9_000, 0xff)])),
      SILENT,
    ],
    nothing: [() => undefined, SILENT],
  };
  for (const [name, [made, expected]] of Object.entries(answers)) {
    void t.test(name, async (t) => {
      const port = await tcp(t, (frame, socket) => made(pingIn(frame).SeqNo, socket));
      const startedMs = performance.now();
      t.strictSame(await roundOf(t).stream(target(port)), expected);
      t.ok(name === 'nothing' || performance.now() - startedMs < 2_000, 'known as soon as it can be');
    });
  }
});

t.test('nobody listens', async (t) => {
  const port = await udp(t, () => undefined);
  t.strictSame(await roundOf(t).stream(target(port)), SILENT);
});

t.test('a transparent fence', async (t) => {
  const port = await member(t, ({ SeqNo }) => [addPacketLabel(ack(SeqNo), OWN_HEADER)]);
  const other = await member(t, ({ SeqNo }) => [addPacketLabel(ack(SeqNo), OWN_HEADER)]);
  const { packet, context } = roundOf(t, { mode: TRANSPARENT(port) });
  t.strictSame(await packet(target(port)), answered(undefined), 'its own worker may have taken the label off');
  t.strictSame(await packet(target(other)), answered('own'), 'but not from another port');
  const home = parseAddress('127.0.0.1') as Uint8Array;
  t.equal(context.peers.answers(home, port, context.now()), true, 'the worker knows that something was sent');
  t.equal(context.peers.answers(home, other, context.now()), false, 'where it sees no answer it need not');
});

t.test('encrypted gossip', async (t) => {
  const keyring = createKeyring([Buffer.alloc(16, 1), Buffer.alloc(32, 2)]);
  const keyed = () => {
    const { context } = makeContext();
    return { ...context, inside: { ...context.inside, keyring: () => keyring } };
  };
  const NONE = new Uint8Array(0);
  const forms: Readonly<Record<string, readonly [Partial<PingerOptions>, Uint8Array]>> = {
    'an app that predates labels': [{}, NONE],
    'the same, sealed anew': [
      { config: { mode: LISTEN, dialects: DIALECTS, encryption: { keyFiles: [], reseal: true } } },
      OWN,
    ],
    'an app with a label': [
      {
        config: { mode: LISTEN, dialects: { ...DIALECTS, sends: 'own' }, encryption: { keyFiles: [], reseal: false } },
      },
      OWN,
    ],
  };
  for (const [name, [more, aad]] of Object.entries(forms)) {
    const opened: string[] = [];
    const body = (frame: Uint8Array) => frame.subarray(OWN_HEADER.length);
    const port = await udp(t, (frame, { port, address }, socket) => {
      const probe = openPacket(keyring, body(frame), aad);
      if (!probe.ok || probe.value.key !== 0) return;
      opened.push(probe.value.form);
      const sealed = sealPacket(keyring, ack(pingIn(probe.value.plain).SeqNo), OWN, 0, 1);
      socket.send(addPacketLabel(sealed, OWN_HEADER), port, address);
    });
    const at = await tcp(t, (frame, socket) => {
      const probe = openStream(keyring, body(frame), aad);
      if (probe.ok) socket.end(sealStream(keyring, ack(pingIn(probe.value.plain).SeqNo), NONE, 1, 1));
    });
    const { packet, stream } = roundOf(t, { ...more, context: keyed() });
    t.strictSame(await packet(target(port)), answered('own'), `${name}: by datagram`);
    t.strictSame(opened, [aad === OWN ? 'label' : 'empty'], 'sealed as what leaves the fence is');
    t.strictSame(await stream(target(at)), answered(undefined), `${name}: on a connection`);
  }
  const plain = await member(t, ({ SeqNo }) => [ack(SeqNo)]);
  const inPlain = keyed();
  noteStreamOfApp(inPlain, Uint8Array.of(6));
  t.strictSame(
    await roundOf(t, { context: inPlain }).packet(target(plain)),
    answered('none'),
    'keys that the app does not use yet are not used',
  );
});

t.test('who cannot be asked', async (t) => {
  const { context, pinger } = pingerOf();
  const port = await member(t, ({ SeqNo }) => [ack(SeqNo)]);
  const unnamed = target(port, undefined);
  const ask = async () => {
    const round = pinger.round();
    const result = await round?.packet?.({ ...unnamed, name: undefined });
    round?.close();
    return result;
  };
  t.strictSame(await ask(), UNABLE, 'nobody without a name, while gossip may be encrypted');
  noteStreamOfApp(context, Uint8Array.of(6));
  t.strictSame(await ask(), answered('none'), 'the app writes plain frames');
  noteStreamOfApp(context, Uint8Array.of(10));
  t.equal(pinger.round(), undefined, 'encrypted, and no keys');
});

t.test('what the ring speaks, where the configuration leaves it open', async (t) => {
  const buffer = new ArrayBuffer(TALLY_BYTES);
  const tally = createTally(buffer);
  const { context } = makeContext({ stage: 'accept' });
  const { pinger } = pingerOf({ context, streams: { transport: 'auto' }, tallies: () => [buffer] });
  const spoken = () => {
    const round = pinger.round();
    round?.close();
    return round === undefined ? undefined : round.packet === undefined ? 'dskit' : 'native';
  };
  const see = (transport: Transport, state: 'own' | 'foreign', times: number) => {
    const where = { direction: 'inbound', transport, kind: 'stream' } as const;
    const view = { admitted: true, proven: false, foreign: false };
    for (let i = 0; i < times; i++) tally.frame(where, state, decide({ ...where, state }, view, context.snapshot()));
  };
  t.equal(spoken(), undefined, 'nothing was seen');
  see('dskit', 'foreign', 9);
  see('tls', 'own', 9);
  t.equal(spoken(), undefined, 'what was rejected says nothing, nor what is inside TLS');
  see('native', 'own', 2);
  t.equal(spoken(), 'native');
  see('dskit', 'own', 3);
  t.equal(spoken(), 'dskit');
});
