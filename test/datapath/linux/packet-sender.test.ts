/** What the raw sockets of the packet path are opened with, over stand-in system calls. */
import t from 'tap';
import { createPacketSender } from '../../../src/datapath/linux/packet-sender.ts';
import { SO_MARK, SO_SNDBUF, type Syscalls, SystemError } from '../../../src/datapath/linux/syscalls.ts';

function harness(refused: number) {
  const opened = new Set<number>();
  const calls = {
    socket() {
      opened.add(opened.size + 3);
      return opened.size + 2;
    },
    setInt(_fd: number, _level: number, option: number) {
      if (option === refused) throw new SystemError('setsockopt', 'EPERM');
    },
    close: (fd: number) => void opened.delete(fd),
  };
  return { opened, calls: calls as unknown as Syscalls };
}

t.test('a kernel that refuses the mark', async (t) => {
  const { opened, calls } = harness(SO_MARK);
  t.throws(() => createPacketSender(calls, 6), { code: 'mark_refused', message: /Linux 5\.17, or CAP_NET_ADMIN/ });
  t.equal(opened.size, 0, 'nothing stays open');
});

t.test('a buffer that cannot be had is no reason to stop', async (t) => {
  const { opened, calls } = harness(SO_SNDBUF);
  createPacketSender(calls, 4).close();
  t.equal(opened.size, 0);
});
