// The admin API of a peer is whatever holds its address: real servers, most of them liars.
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createAdminAsker } from '../../src/cli/ask-admin.ts';
import { ADMIN_ANSWER_MAX_BYTES, ADOPTION_PATH } from '../../src/control/fleet-answer.ts';

const TIMEOUT_MS = 400;
const FENCE = { label: 'c0ffee', member: 'a', stage: 'label', starting: false };
const GOOD = JSON.stringify({ version: '1', fences: [FENCE] });

async function open(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const askAt = async (port: number, address = '127.0.0.1') => {
  const startedMs = performance.now();
  const answer = await createAdminAsker({ port, timeoutMs: TIMEOUT_MS })(address);
  return { answer, tookMs: performance.now() - startedMs };
};

const http = async (t: Test, listener: RequestListener) =>
  (await askAt(await open(t, createHttpServer(listener)))).answer;

/** What a server that speaks no HTTP library says to whoever connects. */
const raw = async (t: Test, speak: (socket: Socket) => void) => {
  const { answer, tookMs } = await askAt(await open(t, createServer(speak)));
  t.ok(tookMs < TIMEOUT_MS + 1_000, `took ${Math.round(tookMs)} ms`);
  return answer;
};

const unknown = (problem: string) => ({ outcome: 'unknown', problem });

t.test('a fence', async (t) => {
  let headers: Record<string, unknown> = {};
  let asked = '';
  const answer = await http(t, (request, response) => {
    ({ headers } = request);
    asked = `${request.method} ${request.url}`;
    response.end(GOOD);
  });
  t.strictSame(answer, { outcome: 'fences', fences: [FENCE] });
  t.equal(asked, `GET ${ADOPTION_PATH}`);
  t.strictSame(Object.keys(headers).sort(), ['accept', 'connection', 'host'], 'nothing secret is sent');
});

t.test('nobody there', async (t) => {
  const server = createServer();
  const port = await open(t, server);
  server.close();
  await once(server, 'close');
  t.strictSame((await askAt(port)).answer, { outcome: 'none' }, 'refused');
  t.strictSame((await askAt(port, 'localhost')).answer, unknown('unreachable'), 'a name is never looked up');
  t.strictSame((await askAt(port, 'fe80::1')).answer, unknown('unreachable'), 'no way there');
  t.strictSame((await askAt(port, '')).answer.outcome, 'unknown');
});

t.test('HTTP that is no answer', async (t) => {
  let followed = 0;
  const target = await open(
    t,
    createHttpServer((_request, response) => {
      followed++;
      response.end(GOOD);
    }),
  );
  const redirect = await http(t, (_request, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:${target}${ADOPTION_PATH}` }).end(GOOD);
  });
  t.strictSame(redirect, unknown('redirected'));
  t.equal(followed, 0, 'a redirect is not followed');
  for (const status of [204, 401, 404, 500, 503]) {
    t.strictSame(
      await http(t, (_request, response) => void response.writeHead(status).end(GOOD)),
      unknown('http_error'),
    );
  }
  t.strictSame(await http(t, (_request, response) => void response.end('<html>')), unknown('not_json'));
  t.strictSame(await http(t, (_request, response) => void response.end('{}')), unknown('not_a_fence'));
  const stage = GOOD.replace('"stage":"label"', '"stage":"trust-me"');
  t.strictSame(await http(t, (_request, response) => void response.end(stage)), unknown('not_a_fence'));
});

t.test('answers without end', async (t) => {
  const padded = (bytes: number) => `${' '.repeat(bytes - GOOD.length)}${GOOD}`;
  const most = await http(t, (_request, response) => void response.end(padded(ADMIN_ANSWER_MAX_BYTES)));
  t.equal(most.outcome, 'fences', 'as long as allowed');
  const more = await http(t, (_request, response) => void response.end(padded(ADMIN_ANSWER_MAX_BYTES + 1)));
  t.strictSame(more, unknown('too_large'));
  let written = 0;
  const endless = await raw(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    const pour = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536, 32))) written += 65_536;
    };
    socket.on('drain', pour);
    pour();
  });
  t.strictSame(endless, unknown('too_large'));
  t.ok(written < 32 * 1024 * 1024, `${written} bytes were taken`);
  const headers = await raw(t, (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}\r\n\r\n${GOOD}`));
  t.strictSame(headers, unknown('too_large'), 'headers too');
});

t.test('whoever hangs', async (t) => {
  t.strictSame(await raw(t, () => undefined), unknown('timeout'), 'before the first byte');
  t.strictSame(
    await raw(t, (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{')),
    unknown('timeout'),
  );
  const trickle = await raw(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    const timer = setInterval(() => socket.write(' '), 20);
    socket.on('close', () => clearInterval(timer));
  });
  t.strictSame(trickle, unknown('timeout'), 'with a byte now and then');
  const early = await raw(t, (socket) => {
    const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20);
    socket.on('close', () => clearInterval(timer));
  });
  t.strictSame(early, unknown('timeout'), 'always about to answer');
});

t.test('whoever speaks something else', async (t) => {
  t.strictSame(await raw(t, (socket) => socket.end('220 mail ready\r\n')), unknown('http_error'));
  t.strictSame(await raw(t, (socket) => socket.end(Buffer.from('160301020001', 'hex'))), unknown('http_error'), 'TLS');
  t.strictSame(await raw(t, (socket) => socket.resetAndDestroy()), unknown('http_error'), 'a reset');
  t.strictSame(await raw(t, (socket) => socket.end()), unknown('http_error'), 'nothing at all');
  t.strictSame(
    await raw(t, (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{')),
    unknown('http_error'),
  );
  const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n';
  t.strictSame(await raw(t, (socket) => socket.write(upgrade)), unknown('http_error'), 'another protocol');
  const zipped = 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n';
  t.strictSame(
    await raw(t, (socket) => socket.end(`${zipped}\x1f\x8b`)),
    unknown('not_json'),
    'what was not asked for is not unpacked',
  );
});
