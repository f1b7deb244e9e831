/** Connections that are taken together: how long each waits for others, and that none is lost on the way. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { GATHERED_MAX, Gathering } from '../../src/datapath/gathering.ts';
import { serveStreams } from '../../src/datapath/serve-streams.ts';
import type { Streams } from '../../src/datapath/streams.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function gather() {
  const taken: number[] = [];
  return { taken, gathering: new Gathering<number>((item) => void taken.push(item)) };
}

t.test('one that comes alone is taken when a turn has brought no other, and so is the next', async (t) => {
  const { taken, gathering } = gather();
  for (const item of [1, 2]) {
    gathering.add(item);
    await turn();
    t.same(taken, [], 'others may follow');
    await turn();
    t.same(taken, [item]);
    taken.length = 0;
  }
});

t.test('what comes in turn after turn is taken together, in order, each once', async (t) => {
  const { taken, gathering } = gather();
  for (let item = 1; item < GATHERED_MAX; item++) {
    gathering.add(item);
    t.same(taken, []);
    await turn();
  }
  t.same(taken, []);
  await turn();
  t.same(
    taken,
    Array.from({ length: GATHERED_MAX - 1 }, (_, i) => i + 1),
  );
  await turn();
  t.equal(taken.length, GATHERED_MAX - 1);
});

t.test('no more than the bound is ever held', async (t) => {
  const { taken, gathering } = gather();
  const all = Array.from({ length: 2 * GATHERED_MAX + 1 }, (_, i) => i);
  for (const item of all) {
    gathering.add(item);
    t.equal(taken.length, Math.floor((item + 1) / GATHERED_MAX) * GATHERED_MAX, 'full: at once');
  }
  await turn();
  t.equal(taken.length, 2 * GATHERED_MAX, 'the last is one that came alone');
  await turn();
  t.same(taken, all);
});

/** A server of ours that notes what it hands on. */
async function serve() {
  const accepted: { readonly socket: Socket; readonly port: number }[] = [];
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const streams: Streams<Socket> = {
    accept: (socket, { peer }) => void accepted.push({ socket, port: peer.port }),
    counts: () => ({ inbound: 0, outbound: 0 }),
    appUp: () => undefined,
    stop: () => 0,
  };
  const app = { address: '127.0.0.1', port: 1 };
  const close = serveStreams(server, { streams, app, onFault: (_code, error) => t.fail(error.message) });
  const { port } = server.address() as AddressInfo;
  return { server, accepted, close, dial: () => connect({ host: '127.0.0.1', port }) };
}

t.test('connections are gathered on their way, and every one of a crowd is handed on once', async (t) => {
  const { server, accepted, close, dial } = await serve();
  server.once('connection', () => t.equal(accepted.length, 0, 'not as it comes'));
  const diallers = Array.from({ length: 3 * GATHERED_MAX + 1 }, dial);
  await Promise.all(diallers.map((dialler) => once(dialler, 'connect')));
  while (accepted.length < diallers.length) await turn();
  await turn();
  await turn();
  t.same(accepted.map(({ port }) => port).sort(), diallers.map(({ localPort }) => localPort).sort());
  for (const socket of [...diallers, ...accepted.map(({ socket }) => socket)]) socket.destroy();
  await close();
});

t.test('what is gathered when serving stops is handed on first: whoever takes it cuts and counts it', async (t) => {
  const { server, accepted, close, dial } = await serve();
  const dialler = dial().resume();
  const gone = once(dialler, 'close');
  await once(server, 'connection');
  t.same(accepted, []);
  const closed = close();
  t.equal(accepted.length, 1);
  accepted[0]?.socket.destroy();
  await Promise.all([closed, gone]);
  t.equal(accepted.length, 1);
});

t.test('one that is reset while it is gathered is handed on, and says so to who reads it', async (t) => {
  const { server, accepted, close, dial } = await serve();
  const dialler = dial();
  await once(server, 'connection');
  dialler.resetAndDestroy();
  t.same(accepted, [], 'nobody listens to it yet');
  while (accepted.length === 0) await turn();
  const { socket } = accepted[0] as { readonly socket: Socket };
  const said = new Promise<string | undefined>((resolve) => {
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
  });
  socket.resume();
  t.equal(await said, 'ECONNRESET');
  await close();
});

t.test('what one says and its end are there when it is handed on', async (t) => {
  const { server, accepted, close, dial } = await serve();
  const dialler = dial();
  await once(server, 'connection');
  dialler.end('all of it');
  t.same(accepted, []);
  while (accepted.length === 0) await turn();
  const { socket } = accepted[0] as { readonly socket: Socket };
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  t.equal(Buffer.concat(chunks).toString(), 'all of it');
  socket.destroy();
  await close();
});
