import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { dropsOf, tableKey, watchKernelDrops } from '../../src/datapath/kernel-drops.ts';
import { until } from './harness.ts';

const HEAD =
  '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n';
const line = (local: string, remote: string, drops: number) =>
  ` 1000: ${local} ${remote} 07 00000000:00000000 00:00000000 00000000     0        0 4242 2 0000000000000000 ${drops}\n`;

t.test('addresses are written as the kernel does', async (t) => {
  t.strictSame(tableKey({ address: '127.0.0.1', port: 7946 }), { family: 4, key: '0100007F:1F0A' });
  t.strictSame(tableKey({ address: '0.0.0.0', port: 80 }), { family: 4, key: '00000000:0050' });
  t.strictSame(tableKey({ address: '::1', port: 7946 }), { family: 6, key: '00000000000000000000000001000000:1F0A' });
  t.equal(tableKey({ address: 'x', port: 1 }), undefined);
});

t.test('drops of the bound socket count, those of connected ones and of other places do not', async (t) => {
  const table =
    HEAD +
    line('0100007F:1F0A', '00000000:0000', 7) +
    line('0100007F:1F0A', '0200007F:1F0A', 5) +
    line('0100007F:1F0B', '00000000:0000', 3);
  t.equal(dropsOf(table, '0100007F:1F0A'), 7);
  t.equal(dropsOf(table, '0100007F:1F0C'), 0);
  t.equal(dropsOf('', '0100007F:1F0A'), 0);
  t.equal(dropsOf('nonsense\n\n 1: 0100007F:1F0A 00000000:0000', '0100007F:1F0A'), 0);
});

t.test(
  'a socket that nobody reads is seen to drop',
  { skip: process.platform !== 'linux' && 'Linux only' },
  async (t) => {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4_096 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const place = socket.address();
    const sender = createSocket('udp4');
    const key = tableKey(place)?.key ?? '';
    t.equal(dropsOf(readFileSync('/proc/net/udp', 'utf8'), key), 0);
    // One thread: what is sent before the next turn of the loop fills the buffer.
    sender.connect(place.port, place.address);
    await once(sender, 'connect');
    for (let i = 0; i < 200; i++) sender.send(Buffer.alloc(1_000));
    const dropped = dropsOf(readFileSync('/proc/net/udp', 'utf8'), key);
    t.ok(dropped > 0 && dropped <= 200, `${dropped} of 200 dropped`);
    sender.close();
    socket.close();
  },
);

t.test(
  'every watch counts the drops of its own socket, one that has ended none',
  { skip: process.platform !== 'linux' && 'Linux only' },
  async (t) => {
    const counted = [0, 0, 0];
    const sockets = await Promise.all(
      counted.map(async () => {
        const socket = createSocket({ type: 'udp4', recvBufferSize: 4_096 });
        socket.bind(0, '127.0.0.1');
        await once(socket, 'listening');
        return socket;
      }),
    );
    const watches = sockets.map((socket, i) => {
      const dropped = (_: string, count = 1) => {
        counted[i] = (counted[i] ?? 0) + count;
      };
      return watchKernelDrops([socket.address()], { dropped });
    });
    watches[2]?.stop();
    // One thread: what is sent before the next turn of the loop fills the buffers.
    const senders = await Promise.all(
      sockets.map(async (socket) => {
        const sender = createSocket('udp4');
        const { address, port } = socket.address();
        sender.connect(port, address);
        await once(sender, 'connect');
        return sender;
      }),
    );
    senders.forEach((sender, i) => {
      for (let k = 0; k < 200 * (i + 1); k++) sender.send(Buffer.alloc(1_000));
    });
    const table = readFileSync('/proc/net/udp', 'utf8');
    const expected = sockets.map((socket) => dropsOf(table, tableKey(socket.address())?.key ?? ''));
    t.ok(expected.every((drops) => drops > 0) && expected[0] !== expected[1], `${expected}`);
    await until('the tables to be read', () => (counted[0] ?? 0) > 0 && (counted[1] ?? 0) > 0);
    t.same(counted, [expected[0], expected[1], 0]);
    for (const watch of watches) watch.stop();
    for (const socket of [...sockets, ...senders]) socket.close();
  },
);
