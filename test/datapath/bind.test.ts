import { Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { bindBoth, RECEIVE_BUFFER_BYTES } from '../../src/datapath/bind.ts';

t.test(
  'datagrams have as much room to wait in as the kernel gives',
  { skip: process.platform !== 'linux' && 'not Linux' },
  async (t) => {
    const cap = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'));
    const { tcp, udp } = await bindBoth({ address: '127.0.0.1', port: 0 });
    // The kernel doubles what is asked for (socket(7), SO_RCVBUF).
    t.equal(udp.getRecvBufferSize(), 2 * Math.min(RECEIVE_BUFFER_BYTES, cap));
    udp.close();
    tcp.close();
    await once(tcp, 'close');
  },
);

t.test('a kernel that refuses what is too much is asked for less, and the socket is bound in any case', async (t) => {
  const { setRecvBufferSize } = Socket.prototype;
  t.teardown(() => {
    Socket.prototype.setRecvBufferSize = setRecvBufferSize;
  });
  const asked: number[] = [];
  let most = 0;
  // As macOS and the BSDs (setsockopt(2), SO_RCVBUF: ENOBUFS).
  Socket.prototype.setRecvBufferSize = function (this: Socket, bytes: number) {
    asked.push(bytes);
    if (bytes > most) throw new Error('uv_recv_buffer_size returned ENOBUFS');
    Reflect.apply(setRecvBufferSize, this, [bytes]);
  };
  for (const [gives, times] of [
    [RECEIVE_BUFFER_BYTES / 4, 3],
    [0, 6],
  ] as const) {
    most = gives;
    asked.length = 0;
    const { tcp, udp, at } = await bindBoth({ address: '127.0.0.1', port: 0 });
    t.equal(udp.address().port, at.port);
    t.same(
      asked,
      Array.from({ length: times }, (_, i) => RECEIVE_BUFFER_BYTES / 2 ** i),
    );
    udp.close();
    tcp.close();
    await once(tcp, 'close');
  }
});
