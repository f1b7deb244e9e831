/** Datagrams of a listen fence, the same cases over both engines, on loopback. */
import t from 'tap';
import { ENGINES } from '../lab/engines.ts';
import { MESSAGE, marked, pathCases } from './cases.ts';
import { dropped, frames, makeContext, pause, rejected, until } from './harness.ts';
import { STRANGERS, startApp, startDatagrams, startUdp, stopLoop } from './listen-kit.ts';

t.teardown(stopLoop);

for (const engine of ENGINES) {
  t.test(`${engine}: every stage and label state, inbound`, async (t) => {
    const app = await startApp();
    for (const row of pathCases(['udp'], ['inbound'])) {
      const made = makeContext({ stage: row.stage }, row.admitted ? undefined : STRANGERS);
      const path = await startDatagrams(engine, made, { app: { address: '127.0.0.1', port: app.port } });
      const peer = await startUdp();
      app.udp.got.length = 0;
      peer.socket.send(row.sent, path.port, '127.0.0.1');
      await until('the frame', () => Object.keys(frames(made.reading())).length === 1);
      if (row.delivered !== undefined) {
        await until('the datagram', () => app.udp.got.length === 1);
        t.equal(app.udp.got[0]?.bytes.toString('hex'), row.delivered.toString('hex'), row.name);
        t.same(rejected(made.reading()), {});
      } else {
        await pause(10);
        t.equal(app.udp.got.length, 0, row.name);
        t.equal(path.sessions(), 0, 'and no session is opened for it');
        t.same(rejected(made.reading()), { [`inbound native packet ${row.reason}`]: 1 });
      }
      peer.socket.close();
      await path.stop();
    }
    await app.close();
  });

  t.test(`${engine}: every stage and label state, answers of the app`, async (t) => {
    const app = await startApp();
    for (const row of pathCases(['udp'], ['outbound'])) {
      const made = makeContext({ stage: 'observe' }, row.admitted ? undefined : STRANGERS);
      const path = await startDatagrams(engine, made, { app: { address: '127.0.0.1', port: app.port } });
      const peer = await startUdp();
      app.udp.got.length = 0;
      peer.socket.send(MESSAGE, path.port, '127.0.0.1');
      await until('the request', () => app.udp.got.length === 1);
      made.setStage(row.stage);
      app.udp.socket.send(row.sent, app.udp.got[0]?.from.port ?? 0, '127.0.0.1');
      await until('the frame', () => Object.keys(frames(made.reading())).some((name) => name.startsWith('outbound')));
      if (row.delivered !== undefined) {
        await until('the answer', () => peer.got.length === 1);
        t.equal(peer.got[0]?.bytes.toString('hex'), row.delivered.toString('hex'), row.name);
        t.equal(peer.got[0]?.from.port, path.port, 'from the advertised port');
      } else {
        await pause(10);
        t.equal(peer.got.length, 0, row.name);
        t.same(rejected(made.reading()), { [`outbound native packet ${row.reason}`]: 1 });
      }
      peer.socket.close();
      await path.stop();
    }
    await app.close();
  });

  t.test(`${engine}: IPv6`, async (t) => {
    const made = makeContext({ stage: 'enforce' }, [{ address: '::1', prefix: 128, family: 'ipv6' }]);
    const app = await startApp('::1');
    const path = await startDatagrams(engine, made, { host: '::1', app: { address: '::1', port: app.port } });
    const peer = await startUdp('::1');
    peer.socket.send(marked('own', MESSAGE), path.port, '::1');
    await until('the datagram', () => app.udp.got.length === 1);
    app.udp.socket.send('ack', app.udp.got[0]?.from.port ?? 0, '::1');
    await until('the answer', () => peer.got.length === 1);
    t.equal(peer.got[0]?.bytes.toString(), marked('own', Buffer.from('ack')).toString());
    t.same(rejected(made.reading()), {});
    peer.socket.close();
    await path.stop();
    await app.close();
  });

  t.test(`${engine}: a socket on [::] serves IPv4 peers under their IPv4 address`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const app = await startApp();
    const path = await startDatagrams(engine, made, { host: '::', app: { address: '127.0.0.1', port: app.port } });
    const peer = await startUdp();
    peer.socket.send(marked('own', MESSAGE), path.port, '127.0.0.1');
    await until('the datagram', () => app.udp.got.length === 1);
    app.udp.socket.send('ack', app.udp.got[0]?.from.port ?? 0, '127.0.0.1');
    await until('the answer', () => peer.got.length === 1);
    t.equal(peer.got[0]?.from.address, '127.0.0.1');
    peer.socket.send(marked('foreign', MESSAGE), path.port, '127.0.0.1');
    await until('the rejection', () => made.rejections.length === 1);
    t.match(made.rejections, [{ reason: 'label_foreign', peer: { address: '127.0.0.1', port: peer.port } }]);
    peer.socket.close();
    await path.stop();
    await app.close();
  });

  t.test(`${engine}: an empty datagram, and the largest one`, async (t) => {
    const made = makeContext({ stage: 'observe' });
    const app = await startApp();
    const path = await startDatagrams(engine, made, { app: { address: '127.0.0.1', port: app.port } });
    const peer = await startUdp();
    const send = (bytes: Buffer) => peer.socket.send(bytes, path.port, '127.0.0.1');
    send(Buffer.alloc(0));
    await until('the empty one', () => app.udp.got.length === 1);
    t.equal(app.udp.got[0]?.bytes.length, 0);
    made.setStage('accept');
    const large = Buffer.alloc(65_507, 3);
    large.writeUInt32LE(0x1234_5678, 60_000);
    send(large);
    await until('the largest', () => app.udp.got.length === 2);
    t.ok(app.udp.got[1]?.bytes.equals(large));
    made.setStage('label');
    app.udp.socket.send(Buffer.alloc(65_507, 3), app.udp.got[0]?.from.port ?? 0, '127.0.0.1');
    await until('the drop', () => dropped(made.reading()).send_failed === 1);
    t.equal(peer.got.length, 0, 'with a label it would be too large');
    peer.socket.close();
    await path.stop();
    await app.close();
  });

  t.test(
    `${engine}: answers reach the right peer, the least recently used session goes first, idle ones expire`,
    async (t) => {
      const made = makeContext({ stage: 'enforce' });
      const app = await startApp();
      const path = await startDatagrams(engine, made, {
        app: { address: '127.0.0.1', port: app.port },
        limits: { sessions: 2, sessionIdleMs: 2_500 },
      });
      const peers = await Promise.all([startUdp(), startUdp(), startUdp()]);
      const say = async (i: number) => {
        const before = app.udp.got.length;
        peers[i]?.socket.send(marked('own', Buffer.from(`from ${i}`)), path.port, '127.0.0.1');
        await until(`the datagram of ${i}`, () => app.udp.got.length === before + 1);
        return app.udp.got[before]?.from.port ?? 0;
      };
      const first = await say(0);
      const second = await say(1);
      t.equal(await say(0), first, 'one session for a peer');
      t.not(first, second);
      app.udp.socket.send('to 0', first, '127.0.0.1');
      app.udp.socket.send('to 1', second, '127.0.0.1');
      await until('both answers', () => peers[0]?.got.length === 1 && peers[1]?.got.length === 1);
      t.match(peers[0]?.got[0]?.bytes.toString(), /to 0$/);
      t.match(peers[1]?.got[0]?.bytes.toString(), /to 1$/);
      t.equal(await say(0), first);
      await say(2);
      t.equal(path.sessions(), 2);
      t.equal(path.evictions(), 1);
      t.equal(await say(0), first, 'the one in use was kept');
      await until('idle sessions to expire', () => path.sessions() === 0);
      t.equal(path.evictions(), 1, 'expiring is no eviction');
      for (const { socket } of peers) socket.close();
      t.same((await path.stop()).sessions, 0);
      await app.close();
    },
  );

  t.test(`${engine}: the app down is counted, and found again`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const gone = await startUdp();
    const app = { address: '127.0.0.1', port: gone.port };
    gone.socket.close();
    const path = await startDatagrams(engine, made, { app });
    const peer = await startUdp();
    const send = () => peer.socket.send(marked('own', MESSAGE), path.port, '127.0.0.1');
    send();
    await until('the session', () => path.sessions() === 1);
    await pause(50);
    send();
    await until('the refusal', () => (dropped(made.reading()).app_unreachable ?? 0) >= 1);
    const back = await startUdp('127.0.0.1', app.port);
    await pause(50);
    send();
    await until('the datagram', () => back.got.length === 1);
    back.socket.close();
    peer.socket.close();
    t.same((await path.stop()).sessions, 1);
  });

  t.test(`${engine}: what a stranger sends to a session's socket is not the app's`, async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const app = await startApp();
    const path = await startDatagrams(engine, made, { app: { address: '127.0.0.1', port: app.port } });
    const peer = await startUdp();
    peer.socket.send(marked('own', MESSAGE), path.port, '127.0.0.1');
    await until('the datagram', () => app.udp.got.length === 1);
    const stranger = await startUdp();
    stranger.socket.send('hello', app.udp.got[0]?.from.port ?? 0, '127.0.0.1');
    await pause(50);
    app.udp.socket.send('ack', app.udp.got[0]?.from.port ?? 0, '127.0.0.1');
    await until('the answer', () => peer.got.length === 1);
    t.match(peer.got[0]?.bytes.toString(), /ack$/);
    for (const { socket } of [peer, stranger]) socket.close();
    await path.stop();
    await app.close();
  });
}
