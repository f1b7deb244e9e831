/** Exchanges whose one side is gone while the other neither reads nor falls silent. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { passing } from '../../src/datapath/flow.ts';
import { NodeSocket } from '../../src/datapath/node-sockets.ts';
import { startRelay } from '../../src/datapath/relay.ts';
import { NODE_TIMERS } from '../../src/datapath/timers.ts';
import { dial, pause, startRecorder, until } from './harness.ts';

const IDLE_MS = 500;

/** More than the kernel holds of a connection, in pieces below a socket's high-water mark. */
const PIECE = Buffer.alloc(4 * 1024);
const PIECES_MAX = 8_192;

/** Writes a byte now and then, until the socket has closed. */
function drip(socket: Socket): void {
  const timer = setInterval(() => socket.write('.'), 50);
  socket.on('close', () => clearInterval(timer));
}

/** Fills `from` until `to`, which leads to someone who does not read, holds some bytes, but not enough to hold `from` back. */
async function fill(from: Socket, to: Socket): Promise<void> {
  for (let i = 0; i < PIECES_MAX && to.writableLength === 0; i++) {
    await new Promise((resolve) => from.write(PIECE, resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await pause(50);
}

async function joined() {
  const target = await startRecorder();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const dialler = await dial((server.address() as AddressInfo).port);
  const [taken] = (await accepted) as [Socket];
  const dialled = connect({ port: target.port, host: '127.0.0.1', allowHalfOpen: true });
  const downstream = new NodeSocket(taken);
  const upstream = new NodeSocket(dialled);
  const cuts: string[] = [];
  const relay = startRelay([], {
    downstream,
    upstream,
    requestEnded: false,
    onFirstWritten: () => undefined,
    request: passing,
    answer: passing,
    timers: NODE_TIMERS,
    idleTimeoutMs: IDLE_MS,
    onRequest: () => undefined,
    onAnswer: () => undefined,
    afterRequest: () => undefined,
    afterAnswer: () => undefined,
    keepsRequest: () => false,
    keepsAnswer: () => false,
    looksAtRequest: () => true,
    looksAtAnswer: () => true,
    onPassed: () => undefined,
    onRequestEnd: () => undefined,
    onAnswerEnd: () => undefined,
    onCut: (reason) => cuts.push(reason),
  });
  downstream.owner = relay;
  upstream.owner = relay;
  await until('the other side', () => target.connections.length === 1);
  const other = target.connections[0]?.socket as Socket;
  return { target, server, taken, dialled, dialler: dialler.socket, other, cuts };
}

t.test('a side that drips and never reads does not outlive the other by more than the idle time', async (t) => {
  for (const gone of ['dialler', 'app'] as const) {
    const { target, server, taken, dialled, dialler, other, cuts } = await joined();
    const [leaving, staying] = gone === 'dialler' ? [dialler, other] : [other, dialler];
    const [near, far] = gone === 'dialler' ? [taken, dialled] : [dialled, taken];
    staying.pause();
    await fill(leaving, far);
    t.ok(far.writableLength > 0 && !near.isPaused(), `${gone}: something waits, and nothing is held back`);
    drip(staying);
    leaving.resetAndDestroy();
    await until('its reset', () => near.closed);
    await until(`the exchange to end without its ${gone}`, () => far.closed);
    t.same(cuts, ['idle_timeout']);
    staying.destroy();
    server.close();
    await target.close();
  }
});
