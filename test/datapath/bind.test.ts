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
