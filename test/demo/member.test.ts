/** Embedded members on loopback, and what strangers may throw at them. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type EmbeddedMember, startMember } from '../../src/demo/member.ts';
import { LAN_TIMING, STREAM_MAX_BYTES } from '../../src/demo/settings.ts';
import type { TableEvent } from '../../src/demo/table.ts';
import { createBareTransport } from '../../src/demo/transport.ts';
import { decodeMessage, encodeMessage, type Message } from '../../src/wire/messages.ts';
import { decodePushPull, encodePushPull, encodeUserStream } from '../../src/wire/push-pull.ts';
import { walkPacket } from '../../src/wire/walk.ts';

const NET = '127.0.76';
const TIMING = { ...LAN_TIMING, probeIntervalMs: 500, probeTimeoutMs: 250, gossipIntervalMs: 50, streamTimeoutMs: 500 };
const NOTHING = new Uint8Array(0);

async function start(t: Test, host: number, events: TableEvent[] = []): Promise<EmbeddedMember> {
  const advertise = { address: `${NET}.${host}`, port: 7946 };
  const member = await startMember(
    { name: `m${host}`, advertise, timing: TIMING },
    (arrivals) => createBareTransport(advertise, arrivals),
    (event) => events.push(event),
  );
  t.teardown(() => member.stop());
  return member;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const states = (member: EmbeddedMember) => Object.fromEntries(member.members().map(({ name, state }) => [name, state]));

const stateOf = (member: EmbeddedMember, name: string) => member.members().find((other) => other.name === name)?.state;

/** Sends `bytes` to `member` over TCP, with a half-close after them, and returns all that comes back. */
async function exchange(member: EmbeddedMember, bytes: Uint8Array, halfClose = true): Promise<Buffer> {
  const { address, port } = member.endpoint;
  const socket = connect({ host: address, port, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => undefined);
  const ended = new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  if (halfClose) socket.end(bytes);
  else socket.write(bytes);
  await ended;
  socket.destroy();
  return Buffer.concat(chunks);
}

t.test('three members find each other; one dies, one leaves', async (t) => {
  const events: TableEvent[] = [];
  const [a, b, c] = [await start(t, 1, events), await start(t, 2), await start(t, 3)];
  t.equal(await b.join(a.endpoint), 1);
  t.equal(await c.join(b.endpoint), 2);
  await until(() => [a, b, c].every((member) => member.members().length === 3), 'everyone knows everyone');
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  t.strictSame(states(a), { m1: 'alive', m2: 'alive', m3: 'alive' }, 'six probes later nobody is suspected');
  await c.stop();
  await until(() => [a, b].every((member) => stateOf(member, 'm3') === 'dead'), 'the killed one is dead for both');
  await b.leave(2_000);
  await until(() => stateOf(a, 'm2') === 'left', 'the goodbye arrives');
  t.strictSame(
    events.map(({ kind, name }) => `${kind} ${name}`),
    ['joined m2', 'joined m3', 'suspected m3', 'died m3', 'left m2'],
  );
  await b.stop();
  await t.rejects(b.join(a.endpoint), { message: /stopped/ }, 'a stopped member dials nobody');
});

t.test('pings over TCP and UDP, with and without a source, for others, and for a name that is not ours', async (t) => {
  const [a, b] = [await start(t, 11), await start(t, 12)];
  await b.join(a.endpoint);
  const source = { SourceAddr: NOTHING, SourcePort: 0, SourceNode: '' };
  const ping = (Node: string) => encodeMessage({ type: 'ping', SeqNo: 77, Node, ...source });
  t.match(decodeMessage(await exchange(a, ping('m11'))), { value: { type: 'ackResp', SeqNo: 77 } });
  t.equal((await exchange(a, ping('somebody'))).length, 0, 'silence for a wrong name');

  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, `${NET}.19`, resolve));
  const answers: Message[] = [];
  socket.on('message', (packet) => answers.push(...walkPacket(packet).messages));
  const target = { Target: Uint8Array.of(127, 0, 76, 12), Port: 7946, Node: 'm12', Nack: true };
  const nobody = { ...target, Target: Uint8Array.of(127, 0, 76, 99), Node: 'nobody' };
  socket.send(ping('m11'), 7946, a.endpoint.address);
  socket.send(encodeMessage({ type: 'indirectPing', SeqNo: 78, ...target, ...source }), 7946, a.endpoint.address);
  socket.send(encodeMessage({ type: 'indirectPing', SeqNo: 79, ...nobody, ...source }), 7946, a.endpoint.address);
  const got = (type: Message['type'], seq: number) =>
    answers.some((message) => message.type === type && 'SeqNo' in message && message.SeqNo === seq);
  await until(() => got('ackResp', 77) && got('ackResp', 78) && got('nackResp', 79), 'two acks and a nack');
  t.notOk(got('nackResp', 78) || got('ackResp', 79), 'and no other');
});

t.test('a push/pull from a stranger is answered with our table', async (t) => {
  const a = await start(t, 21);
  const answer = decodePushPull(
    await exchange(a, encodePushPull({ join: false, nodes: [], userState: NOTHING }), false),
  );
  t.match(answer, { ok: true, value: { nodes: [{ Name: 'm21', Port: 7946 }] } });
  t.equal((await exchange(a, encodeUserStream(Buffer.from('hello')))).length, 0, 'a user message has no answer');
});

t.test('nonsense on a stream gets an error that says why, or silence for a probe', async (t) => {
  const a = await start(t, 31);
  const why = async (bytes: Uint8Array, halfClose = true) => {
    const message = decodeMessage(await exchange(a, bytes, halfClose));
    return message.ok && message.value.type === 'err' ? message.value.Error : message;
  };
  t.match(await why(Uint8Array.of(99)), /type_unknown/);
  t.match(await why(Uint8Array.of(244, 1, 65, 6)), /type_unexpected/, 'a label is an unknown message to it');
  t.match(await why(Uint8Array.of(4, 0x80)), /type_unexpected/, 'alive does not come by stream');
  t.match(await why(Uint8Array.of(6, 0x81)), /EOF inside/);
  t.match(await why(Uint8Array.of(6, 0x81), false), /within 500 ms/, 'a slow one');
  t.match(await why(Uint8Array.of(6, 0x81, 0xa5, 0x4e, 0x6f, 0x64, 0x65, 0x73, 0xff)), /nodes_limit/);
  const endless = Buffer.alloc(STREAM_MAX_BYTES + 1, 0xda);
  endless.set([6, 0x81, 0xdb, 0x7f, 0xff, 0xff, 0xff]);
  t.match(await why(endless, false), /more than 4194304 bytes/);
  t.equal((await exchange(a, NOTHING)).length, 0, 'who says nothing hears nothing');
});

t.test('a dial that fails says why', async (t) => {
  const a = await start(t, 41);
  await t.rejects(a.join({ address: `${NET}.42`, port: 7946 }), { name: 'ExchangeError', message: /ECONNREFUSED/ });
  const advertise = { address: `${NET}.41`, port: 7946 };
  const second = startMember(
    { name: 'second', advertise, timing: TIMING },
    (arrivals) => createBareTransport(advertise, arrivals),
    () => undefined,
  );
  await t.rejects(second, { code: 'EADDRINUSE' });
});

t.test('a member lives through 3,000 packets of garbage', async (t) => {
  const [a, b] = [await start(t, 51), await start(t, 52)];
  await b.join(a.endpoint);
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const { address, port } = a.endpoint;
  socket.connect(port, address);
  await once(socket, 'connect');
  const packet = fc.tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 244), fc.uint8Array({ maxLength: 80 }));
  const garbage = fc.sample(packet, { numRuns: 3_000, seed: 2 });
  for (const [i, [type, rest]] of garbage.entries()) {
    socket.send(Uint8Array.of(type, ...rest));
    // The socket's buffer is small; what overflows it would test nothing.
    if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  t.strictSame(states(b), { m51: 'alive', m52: 'alive' });
  t.match(states(a), { m51: 'alive', m52: 'alive' });
});
