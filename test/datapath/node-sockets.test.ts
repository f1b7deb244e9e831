/** What stands before node's sockets: when they are paused and resumed, and what their owner is told. */
import { Socket } from 'node:net';
import t from 'tap';
import { NodeSocket } from '../../src/datapath/node-sockets.ts';
import { IdleOwner, type StreamSocket } from '../../src/datapath/socket.ts';

/** One of node's that reads nothing and notes what it is asked. */
class Noting extends Socket {
  readonly asked: string[] = [];

  override pause(): this {
    this.asked.push('pause');
    return super.pause();
  }

  override resume(): this {
    this.asked.push('resume');
    return super.resume();
  }
}

/** Does `act` with each chunk. */
class Taker extends IdleOwner {
  readonly #act: (socket: StreamSocket) => void;

  constructor(act: (socket: StreamSocket) => void) {
    super();
    this.#act = act;
  }

  override onData(socket: StreamSocket): void {
    this.#act(socket);
  }
}

function noting(act: (socket: StreamSocket) => void) {
  const socket = new Noting({ allowHalfOpen: true });
  socket.pause();
  const front = new NodeSocket(socket);
  front.owner = new Taker(act);
  front.resume();
  socket.asked.length = 0;
  return { socket, front };
}

t.test('what pauses and resumes while a chunk is taken counts as it is in the end', async (t) => {
  const both = noting((socket) => void socket.pause().resume());
  both.socket.emit('data', Buffer.from('a'));
  t.same(both.socket.asked, []);
  const paused = noting((socket) => void socket.pause().resume().pause());
  paused.socket.emit('data', Buffer.from('a'));
  t.same(paused.socket.asked, ['pause']);
  paused.front.pause();
  t.same(paused.socket.asked, ['pause'], 'once');
  paused.front.resume();
  t.same(paused.socket.asked, ['pause', 'resume'], 'outside a chunk at once');
});

t.test('after its end a socket is neither paused nor resumed, and it says what has happened', async (t) => {
  const { socket, front } = noting(() => undefined);
  socket.emit('end');
  t.equal(front.readableEnded, true);
  front.pause().resume().pause();
  t.same(socket.asked, []);
  t.equal(front.closed, false);
  socket.emit('close', false);
  t.equal(front.closed, true);
});
