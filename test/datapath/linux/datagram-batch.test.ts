/** A single datagram that the kernel refuses is told, or tried once more, as one of a flush is. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import { AF_INET, loadSyscalls, SOCK_DGRAM, type Syscalls } from '../../../src/datapath/linux/syscalls.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { until } from '../harness.ts';

const calls = await loadSyscalls();
const LOOPBACK = parseAddress('127.0.0.1') as Uint8Array;

async function receiver(t: Test, port = 0) {
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const got: string[] = [];
  socket.on('message', (message) => got.push(message.toString()));
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return { got, port: socket.address().port };
}

/** Nobody's any more. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** Sends words from a socket connected to `port`, one by one, and writes down what is told. */
function sender(t: Test, port: number, kernel: Syscalls = calls) {
  const { received, sends } = createDatagramBatches(kernel);
  const fd = calls.socket(AF_INET, SOCK_DGRAM, 0);
  t.teardown(() => calls.close(fd));
  calls.connect(fd, sockaddr(LOOPBACK, port));
  const told: string[] = [];
  const refused = {
    onRefused: (errno: string, first: number, count: number) => told.push(`${errno} ${first} ${count}`),
    onLateError: () => told.push('late'),
  };
  const at = received.payloadAt(0);
  return {
    told,
    sends,
    one(word: string): number {
      const length = received.memory.write(word, at);
      return sends.sendOne(fd, at, length, refused);
    },
  };
}

t.test('an error of the one before is told, and the datagram goes all the same', async (t) => {
  const port = await freePort();
  const { one, told, sends } = sender(t, port);
  t.equal(one('lost'), 1);
  const app = await receiver(t, port);
  t.equal(one('a second one'), 1);
  t.same(told, ['late']);
  t.equal(one('third'), 1);
  await until('both', () => app.got.length === 2);
  t.same(app.got, ['a second one', 'third']);
  t.same(told, ['late']);
  t.equal(sends.count, 0, 'nothing is left for a later flush');
});

t.test('one that the kernel does not take is told once, and gone', async (t) => {
  const app = await receiver(t);
  for (const errno of ['EAGAIN', 'ENOBUFS', 'EMSGSIZE']) {
    const streams = { ...calls.streams, send: () => -1 };
    const { one, told, sends } = sender(t, app.port, { ...calls, errno: () => errno, streams });
    t.equal(one('refused'), 0);
    t.same(told, [`${errno} 0 1`]);
    t.equal(sends.count, 0);
  }
});
