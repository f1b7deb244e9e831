/** The admin server on a socket: bounds, broken requests, a busy port. */
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { AdminStartError, BODY_MAX_BYTES, CONNECTIONS_PER_CLIENT_MAX, startAdmin } from '../../src/admin/server.ts';
import type { AdminView } from '../../src/admin/view.ts';
import { adminView, fenceView } from './helpers.ts';

const ANY = { address: { address: '127.0.0.1', port: 0 }, writeToken: '' };

async function start(t: Pick<typeof import('tap').t, 'teardown'>, view: AdminView = adminView()) {
  const server = await startAdmin(view, ANY);
  t.teardown(() => server.stop());
  return { port: server.address.port, url: `http://127.0.0.1:${server.address.port}`, server, view };
}

/** What the server answers to raw bytes, until it closes or 8 s have passed. */
function raw(port: number, bytes: string, end = true): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let got = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`still open after 8 s, with ${JSON.stringify(got)}`));
    }, 8_000);
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(got);
    });
    if (end) socket.end(bytes, 'latin1');
    else socket.write(bytes, 'latin1');
  });
}

t.test('answers over HTTP', async (t) => {
  const { url, view } = await start(t);
  const health = await fetch(`${url}/healthz`);
  t.equal(await health.text(), 'ok\n');
  t.equal(health.headers.get('x-content-type-options'), 'nosniff');
  t.equal(health.headers.get('access-control-allow-origin'), null, 'no page of another origin may read');
  const head = await fetch(`${url}/healthz`, { method: 'HEAD' });
  t.strictSame([head.status, head.headers.get('content-length'), await head.text()], [200, '3', '']);
  const change = await fetch(`${url}/api/v1/stage`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"stage":"label"}',
  });
  t.equal(change.status, 200);
  t.equal(view.fences[0]?.stage(), 'label');
  t.equal((await fetch(`${url}/api/v1/rejections?fence=none`)).status, 404);
});

t.test('a body that is too long is cut off', async (t) => {
  const { url, port, view } = await start(t);
  const post = (body: string) =>
    fetch(`${url}/api/v1/stage`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  t.equal((await post('x'.repeat(BODY_MAX_BYTES))).status, 400, 'the longest is read');
  t.equal((await post('x'.repeat(BODY_MAX_BYTES + 1))).status, 413);
  const endless = `POST /api/v1/stage HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999\r\n\r\n${'x'.repeat(BODY_MAX_BYTES * 4)}`;
  t.match(await raw(port, endless, false), /^HTTP\/1\.1 413 /);
  t.equal(view.fences[0]?.stage(), 'accept');
});

t.test('broken requests end, and the server goes on', async (t) => {
  const { url, port } = await start(t);
  t.match(await raw(port, 'hello\r\n\r\n'), /^HTTP\/1\.1 400 /);
  t.match(await raw(port, '\xf4\x04blue\x06'), /^HTTP\/1\.1 400 /, 'gossip is no HTTP');
  t.match(await raw(port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  t.match(await raw(port, 'GET http://evil/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 400 /);
  t.match(await raw(port, 'GET / HTTP/1.1\r\nHost: a\r\n', false), /^HTTP\/1\.1 408 /, 'a slow header');
  t.equal(await raw(port, ''), '');
  t.equal((await fetch(`${url}/healthz`)).status, 200);
});

t.test('a route that fails is a 500 without its reason', async (t) => {
  const broken = fenceView({
    tally: () => {
      throw new Error('secret path /x');
    },
  });
  const { url } = await start(t, adminView(broken));
  const answer = await fetch(`${url}/api/v1/status`);
  t.equal(answer.status, 500);
  t.notMatch(await answer.text(), /secret/);
});

t.test('a busy port is one clear line', async (t) => {
  const { port } = await start(t);
  await t.rejects(startAdmin(adminView(), { ...ANY, address: { address: '127.0.0.1', port } }), {
    constructor: AdminStartError,
    message: `the admin API cannot listen on 127.0.0.1:${port}: the port is in use (EADDRINUSE)`,
  });
  await t.rejects(startAdmin(adminView(), { ...ANY, address: { address: '192.0.2.1', port: 9746 } }), {
    message: 'the admin API cannot listen on 192.0.2.1:9746: this host does not have that address (EADDRNOTAVAIL)',
  });
});

t.test('one client that sits on connections does not keep another out', async (t) => {
  const { port } = await start(t);
  const sitters: Socket[] = [];
  t.teardown(() => sitters.forEach((socket) => void socket.destroy()));
  let refused = 0;
  for (let i = 0; i < 200; i++) {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.on('close', () => refused++);
    sitters.push(socket);
  }
  const ask = (localAddress: string) =>
    new Promise<string>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress });
      let got = '';
      socket.on('data', (chunk) => {
        got += chunk.toString('latin1');
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(got));
      socket.setTimeout(3_000, () => socket.destroy());
      socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    });
  // Connections are taken in the order of their arrival: this one comes after all of those.
  t.equal(await ask('127.0.0.1'), '', 'the sitter gets no more');
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(refused >= 200 - CONNECTIONS_PER_CLIENT_MAX, `${refused} of 200 were closed at once`);
  if (process.platform === 'linux') t.match(await ask('127.0.0.2'), /200 OK/, 'another address is served');
  for (const socket of sitters) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.match(await ask('127.0.0.1'), /200 OK/, 'and so is the sitter once it has left');
});

t.test('stopping ends idle connections', async (t) => {
  const { port, server } = await start(t);
  const closed = raw(port, 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n', false);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await server.stop();
  t.match(await closed, /200 OK/);
});
