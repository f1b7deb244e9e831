/**
 * Listen paths on loopback over both engines, thread and all (datagrams by case: listen-datagrams.test.ts, connections: streams.test.ts):
 * start, drain, stop, and an app that sends through the portable one.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { overEngines } from '../lab/engines.ts';
import { MESSAGE, marked } from './cases.ts';
import { dial, dropped, frames, makeContext, pause, rejected, sendAll, until } from './harness.ts';
import { startApp, startUdp } from './listen-kit.ts';
import { startPath, stopThread } from './listen-paths.ts';

t.teardown(stopThread);

const at = (port: number, address = '127.0.0.1') => ({ app: { address, port } });

overEngines(t, 'IPv6, both protocols', async (t, engine) => {
  const made = makeContext({ stage: 'enforce' }, [{ address: '::1', prefix: 128, family: 'ipv6' }]);
  const app = await startApp('::1');
  const { path, port, reading } = await startPath(engine, made, { host: '::1', ...at(app.port, '::1') });
  const peer = await startUdp('::1');
  peer.socket.send(marked('own', MESSAGE), port, '::1');
  await until('the datagram', () => app.udp.got.length === 1);
  app.udp.socket.send('ack', app.udp.got[0]?.from.port ?? 0, '::1');
  await until('the answer', () => peer.got.length === 1);
  t.equal(peer.got[0]?.bytes.toString(), marked('own', Buffer.from('ack')).toString());
  const dialler = await dial(port, undefined, '::1');
  await sendAll(dialler, [marked('own', MESSAGE)]);
  t.equal(await dialler.ended(), 'fin');
  t.equal(dialler.received().toString(), 'answer');
  t.same(rejected(reading()), {});
  peer.socket.close();
  await path.stop();
  await app.close();
});

overEngines(t, 'a socket on [::] serves IPv4 peers under their IPv4 address', async (t, engine) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startApp();
  const { path, inside, port } = await startPath(engine, made, { host: '::', ...at(app.port) });
  const peer = await startUdp();
  peer.socket.send(marked('own', MESSAGE), port, '127.0.0.1');
  await until('the datagram', () => app.udp.got.length === 1);
  app.udp.socket.send('ack', app.udp.got[0]?.from.port ?? 0, '127.0.0.1');
  await until('the answer', () => peer.got.length === 1);
  if (inside !== undefined) {
    inside.outboundPacket(Buffer.from('ping'), { address: '127.0.0.1', port: peer.port });
    await until('what the app sends by itself', () => peer.got.length === 2);
  }
  peer.socket.send(marked('foreign', MESSAGE), port, '127.0.0.1');
  await until('the rejection', () => made.rejections.length === 1);
  t.match(made.rejections, [{ reason: 'label_foreign', peer: { address: '127.0.0.1', port: peer.port } }]);
  peer.socket.close();
  await path.stop();
  await app.close();
});

overEngines(t, 'the app down: counted, reported once, probed until it is back', async (t, engine) => {
  const made = makeContext({ stage: 'enforce' });
  const gone = await startApp();
  await gone.close();
  await once(gone.tcp.server, 'close').catch(() => undefined);
  const { path, port, reading } = await startPath(engine, made, at(gone.port));
  await until('the first probe', () => path.appUp() === false);
  t.match(await path.notReady(), [/the app at 127\.0\.0\.1:\d+ is not reachable/]);
  const peer = await startUdp();
  const send = () => peer.socket.send(marked('own', MESSAGE), port, '127.0.0.1');
  send();
  await until('the session', () => path.counts().sessions === 1);
  await pause(50);
  send();
  await until('the refusal', () => (dropped(reading()).app_unreachable ?? 0) >= 1);
  const app = createServer((socket) => socket.destroy()).listen(gone.port, '127.0.0.1');
  await until('the app to be seen', () => path.appUp() === true);
  t.same(await path.notReady(), []);
  t.same(
    made.faults.map(({ code }) => code),
    ['app_unreachable', 'app_reachable'],
  );
  app.close();
  peer.socket.close();
  t.same(await path.stop(), { streams: 0, sessions: 1 });
});

overEngines(t, 'start: a port in use, an address that is not ours', async (t, engine) => {
  const made = makeContext();
  const app = await startApp();
  const held = app.port;
  await t.rejects(startPath(engine, made, { port: held, ...at(1) }), {
    name: 'StartError',
    code: 'EADDRINUSE',
    message: `cannot listen on 127.0.0.1:${held} (TCP): the port is in use by another process`,
  });
  await app.tcp.close();
  await pause(20);
  await t.rejects(startPath(engine, made, { port: held, ...at(1) }), {
    code: 'EADDRINUSE',
    message: `cannot listen on 127.0.0.1:${held} (UDP): the port is in use by another process`,
  });
  const retry = createServer().listen(held, '127.0.0.1');
  await once(retry, 'listening');
  retry.close();
  app.udp.socket.close();
  await t.rejects(startPath(engine, made, { host: '192.0.2.1', port: 7946, ...at(1) }), {
    code: 'EADDRNOTAVAIL',
    message: 'cannot listen on 192.0.2.1:7946 (TCP): no interface of this machine has that address',
  });
});

overEngines(t, 'drain keeps forwarding, new frames too, until the app has gone', async (t, engine) => {
  const made = makeContext({ stage: 'enforce' });
  const app = await startApp();
  const { path, port } = await startPath(engine, made, at(app.port));
  const peer = await startUdp();
  let drained = false;
  const draining = path.drain(PATIENT_GRACE_MS).then(() => {
    drained = true;
  });
  await pause(100);
  peer.socket.send(marked('own', MESSAGE), port, '127.0.0.1');
  await until('a new frame while draining', () => app.udp.got.length === 1);
  const dialler = await dial(port);
  await sendAll(dialler, [marked('own', MESSAGE)]);
  t.equal(await dialler.ended(), 'fin');
  t.equal(drained, false);
  await app.close();
  await draining;
  t.equal(drained, true);
  peer.socket.close();
  await path.stop();
});

const PATIENT_GRACE_MS = 6_000;

overEngines(t, 'drain ends with its grace, or with a stop', async (t, engine) => {
  const app = await startApp();
  const { path } = await startPath(engine, makeContext(), at(app.port));
  const began = performance.now();
  await path.drain(300);
  const took = performance.now() - began;
  t.ok(took >= 290 && took < 2_000, `took ${took} ms`);
  const draining = path.drain(PATIENT_GRACE_MS);
  await path.stop();
  const stopped = performance.now();
  await draining;
  t.ok(performance.now() - stopped < 1_000);
  t.match(await path.notReady(), [/sockets on 127\.0\.0\.1:\d+ are not open/]);
  await app.close();
});

t.test('an app in the same process sends through the fence', async (t) => {
  const made = makeContext({ stage: 'label' });
  const app = await startApp();
  const { inside: path, port } = await startPath('portable', made, {
    host: '127.0.0.5',
    app: { address: '127.0.0.5', port: app.port },
  });
  if (path === undefined) throw new Error('not the portable path');
  const other = await startApp();
  const to = { address: '127.0.0.1', port: other.port };
  path.outboundPacket(Buffer.from('ping'), to);
  await until('the datagram', () => other.udp.got.length === 1);
  t.equal(other.udp.got[0]?.bytes.toString('latin1'), marked('own', Buffer.from('ping')).toString('latin1'));
  t.match(other.udp.got[0]?.from, { address: '127.0.0.5', port: port });
  const entry = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
    path.outboundStream(socket, to),
  );
  entry.listen(0, '127.0.0.1');
  await once(entry, 'listening');
  const dialler = await dial((entry.address() as AddressInfo).port);
  await sendAll(dialler, [MESSAGE]);
  t.equal(await dialler.ended(), 'fin');
  t.equal(dialler.received().toString(), 'answer');
  t.ok(other.tcp.connections[0]?.received().equals(marked('own', MESSAGE)));
  t.equal(other.tcp.connections[0]?.from, '127.0.0.5', 'from the advertised host address');
  t.same(frames(made.reading()), { 'outbound native packet none pass': 1, 'outbound native stream none pass': 1 });
  entry.close();
  await path.stop();
  path.outboundPacket(Buffer.from('too late'), to);
  t.equal(dropped(made.reading()).send_failed, 1);
  await other.close();
  await app.close();
});

overEngines(t, 'stop cuts what is open, says so, and can be called twice', async (t, engine) => {
  const app = await startApp();
  const { path, port } = await startPath(engine, makeContext({ stage: 'enforce' }), at(app.port));
  const dialler = await dial(port);
  dialler.socket.write(marked('own', MESSAGE));
  const peer = await startUdp();
  peer.socket.send(marked('own', MESSAGE), port, '127.0.0.1');
  await until('both', () => path.counts().sessions === 1 && path.counts().streamsInbound === 1);
  await until('the app', () => app.tcp.connections.some((connection) => connection.received().length > 0));
  t.same(await path.stop(), { streams: 1, sessions: 1 });
  t.equal(await dialler.ended(), 'reset');
  t.same(await path.stop(), { streams: 0, sessions: 0 });
  peer.socket.close();
  await app.close();
});
