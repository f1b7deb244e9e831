/** What the raw sockets of the packet path are opened with, and what they do with batches, over stand-in system calls. */
import t from 'tap';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { PacketFlows } from '../../../src/datapath/linux/packet-flows.ts';
import { createPacketSender, type SenderEvents } from '../../../src/datapath/linux/packet-sender.ts';
import { SO_MARK, SO_SNDBUF, type Syscalls, SystemError } from '../../../src/datapath/linux/syscalls.ts';
import { createKernelKit } from './kernel-kit.ts';

function harness(refused = -1, mtu = 1_500) {
  const opened = new Set<number>();
  const kernel = createKernelKit({
    socket() {
      opened.add(opened.size + 3);
      return opened.size + 2;
    },
    setInt(_fd: number, _level: number, option: number) {
      if (option === refused) throw new SystemError('setsockopt', 'EPERM');
    },
    connect: () => 0,
    getInt: () => mtu,
    close: (fd: number) => void opened.delete(fd),
  });
  const batches = createDatagramBatches(kernel.calls);
  const told: string[] = [];
  const events: SenderEvents = {
    onSent: ({ to }) => told.push(`sent ${to}`),
    onFailed: ({ to }, bytes, reason, errno) => told.push(`${reason} ${errno} ${to} ${bytes}`),
    onOversize: ({ to }) => told.push(`oversize ${to}`),
  };
  return { opened, kernel, calls: kernel.calls, batches, events, told };
}

/** A sender with one batch of datagrams received, of `sizes`; `local`: whose address is one of ours. */
function received(
  sizes: readonly number[],
  mtu?: number,
  ends = { own: '10.0.0.1', peer: '10.0.0.2' },
  local = ends.own,
) {
  const made = harness(undefined, mtu);
  const { batches, kernel } = made;
  const sender = createPacketSender(made.calls as Syscalls, ends.own.includes(':') ? 6 : 4, batches, made.events);
  const flows = new PacketFlows({
    has: (text) => text === local,
    inbound: (from, to) => to === local || from !== local,
    several: () => false,
    revision: () => 1,
  });
  const source = { address: ends.own, port: 7946 };
  const destination = { address: ends.peer, port: 7000 };
  for (const size of sizes) kernel.queue.push({ source, destination, payload: Buffer.alloc(size, 0x61) });
  const batch = batches.received;
  const count = batch.receive(3, true);
  const sendAll = () => {
    for (let i = 0; i < count; i++) {
      flows.refresh();
      const flow = flows.find(batch.memory, batch.words, batch.nameAt(i), batch.controlAt(i) + 16);
      sender.send(flow, batch.payloadAt(i), batch.lengthOf(i), 1);
    }
    sender.flush();
  };
  return { ...made, sender, sendAll };
}

t.test('a kernel that refuses the mark', async (t) => {
  const { opened, calls, batches, events } = harness(SO_MARK);
  t.throws(() => createPacketSender(calls, 6, batches, events), {
    code: 'mark_refused',
    message: /Linux 5\.17, or CAP_NET_ADMIN/,
  });
  t.equal(opened.size, 0, 'nothing stays open');
});

t.test('no descriptor left for the second socket', async (t) => {
  const { opened, calls, batches, events } = harness();
  const first = calls.socket;
  const short = {
    ...calls,
    socket(family: number, type: number, protocol: number) {
      if (opened.size > 0) throw new SystemError('socket', 'EMFILE');
      return first(family, type, protocol);
    },
  };
  t.throws(() => createPacketSender(short as Syscalls, 4, batches, events), { code: 'EMFILE' });
  t.equal(opened.size, 0, 'nothing stays open');
});

t.test('a buffer that cannot be had is no reason to stop', async (t) => {
  const { opened, calls, batches, events } = harness(SO_SNDBUF);
  createPacketSender(calls, 4, batches, events).close();
  t.equal(opened.size, 0);
});

t.test('whole packets leave in a batch, with their headers, in their order', async (t) => {
  const { sendAll, kernel, told } = received([0, 10, 200]);
  sendAll();
  t.same(
    kernel.sent.map(({ bytes }) => bytes.length),
    [28, 38, 228],
  );
  const [, second] = kernel.sent;
  t.equal(second?.bytes.subarray(12, 20).toString('hex'), '0a0000010a000002', 'addresses');
  t.equal(second?.bytes.subarray(20, 24).toString('hex'), '1f0a1b58', 'ports');
  t.equal(second?.bytes.subarray(28).toString(), 'a'.repeat(10));
  t.equal(second?.name.toString('hex'), '020000000a0000020000000000000000', 'to the address, and no port');
  t.same(told, ['sent 10.0.0.2', 'sent 10.0.0.2', 'sent 10.0.0.2']);
});

t.test('only what goes to one of our own addresses goes without a checksum', async (t) => {
  const checksum = (local?: string) => {
    const { sendAll, kernel } = received([10], undefined, undefined, local);
    sendAll();
    return kernel.sent[0]?.bytes.readUInt16BE(26);
  };
  t.equal(checksum('10.0.0.2'), 0);
  t.not(checksum('10.0.0.1'), 0, 'from one of ours');
  t.not(checksum('10.0.0.9'), 0, 'between strangers, as far as is known');
});

t.test('IPv6: a raw socket takes no port', async (t) => {
  const { sendAll, kernel } = received([10], 1_500, { own: 'fd00::1', peer: 'fd00::2' });
  sendAll();
  t.equal(kernel.sent[0]?.bytes.length, 58);
  t.equal(kernel.sent[0]?.name.subarray(0, 4).toString('hex'), '0a000000');
  t.equal(kernel.sent[0]?.name.length, 28);
});

t.test('what is larger than the route takes goes in pieces, after what came before it', async (t) => {
  const { sendAll, kernel, told } = received([10, 3_000, 10]);
  sendAll();
  t.same(
    kernel.sent.map(({ bytes }) => bytes.length),
    [38, 1_500, 1_500, 68, 38],
  );
  t.same(told, ['sent 10.0.0.2', 'oversize 10.0.0.2', 'sent 10.0.0.2', 'sent 10.0.0.2']);
});

t.test('what never fits is said', async (t) => {
  const { sendAll, kernel, told } = received([65_508]);
  sendAll();
  t.same(kernel.sent, []);
  t.same(told, ['oversize 10.0.0.2', 'send_failed EMSGSIZE 10.0.0.2 65508']);
});

t.test('one that is refused leaves the others alone; a full queue takes the rest', async (t) => {
  const one = received([1, 2, 3]);
  one.kernel.refuse = (n) => (n === 1 || n === 2 ? 'EHOSTUNREACH' : undefined);
  one.sendAll();
  t.same(one.told, ['peer_unreachable EHOSTUNREACH 10.0.0.2 2', 'sent 10.0.0.2', 'sent 10.0.0.2']);
  const full = received([1, 2, 3, 4]);
  full.kernel.refuse = (n) => (n >= 2 ? 'ENOBUFS' : undefined);
  full.sendAll();
  t.same(full.told, [
    'backlog_full ENOBUFS 10.0.0.2 3',
    'backlog_full ENOBUFS 10.0.0.2 4',
    'sent 10.0.0.2',
    'sent 10.0.0.2',
  ]);
  const pieces = received([3_000]);
  pieces.kernel.refuse = (n) => (n === 1 ? 'ENETUNREACH' : undefined);
  pieces.sendAll();
  t.same(pieces.told, ['oversize 10.0.0.2', 'peer_unreachable ENETUNREACH 10.0.0.2 3000']);
});
