/** In steady state a datagram that passes costs no memory: what the heap grows by while the loop turns, for each of many. */
import t from 'tap';
import { createDatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { openListenPackets } from '../../../src/datapath/linux/listen-packets.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { sockaddr } from '../../../src/datapath/linux/sockaddr.ts';
import { AF_INET, loadSyscalls, SOCK_DGRAM } from '../../../src/datapath/linux/syscalls.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { MESSAGE, marked } from '../cases.ts';
import { LIMITS, makeContext } from '../harness.ts';

const LOOPBACK = parseAddress('127.0.0.1') as Uint8Array;
const ROUND = 200;
const WARM_ROUNDS = 300;
const ROUNDS = 100;
/**
 * What a turn itself may cost, by ROUND: a few numbers for the system calls, and the reading of the heap (2 to 5 bytes a datagram); and one
 * number a datagram (16 bytes), which V8 boxes in one run of ten or so. Any object, view or closure is 32 bytes and more.
 */
const BYTES_MAX = 24;

const calls = await loadSyscalls();

for (const sources of [1, 100, 200]) {
  t.test(`${sources} sources`, async (t) => {
    const made = makeContext({ stage: 'accept' });
    const app = await openPort();
    const loop = new Loop(calls, () => performance.now());
    const packets = openListenPackets({
      ...{ context: made.context, calls, loop, batches: createDatagramBatches(calls) },
      ...{ listen: { address: '127.0.0.1', port: 0 }, app: { address: '127.0.0.1', port: app.port }, limits: LIMITS },
      limits: { sessions: 256, sessionIdleMs: 60_000 },
    });
    const to = sockaddr(LOOPBACK, packets.at.port);
    const senders = await Promise.all(Array.from({ length: sources }, openPort));
    const packet = marked('own', MESSAGE);
    const grown: number[] = [];
    for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
      for (let i = 0; i < ROUND; i++) calls.sendto(senders[i % sources]?.fd ?? -1, packet, packet.length, to);
      const before = process.memoryUsage().heapUsed;
      loop.turn(0);
      const after = process.memoryUsage().heapUsed;
      // Smaller: the collector ran meanwhile.
      if (round >= WARM_ROUNDS && after >= before) grown.push((after - before) / ROUND);
    }
    const passed = made.reading().frames.find(({ verdict, value }) => verdict === 'pass' && value > 0)?.value;
    t.equal(passed, (WARM_ROUNDS + ROUNDS) * ROUND, 'all of them passed');
    grown.sort((a, b) => a - b);
    const median = grown[grown.length >> 1] ?? Number.POSITIVE_INFINITY;
    t.comment(`${median.toFixed(1)} bytes a datagram`);
    t.ok(median < BYTES_MAX, `${median} bytes a datagram`);
    packets.stop();
    loop.close();
    for (const { fd } of [app, ...senders]) calls.close(fd);
  });
}

/** A socket that node knows nothing of: what arrives stays in it until it overflows. */
async function openPort(): Promise<{ readonly fd: number; readonly port: number }> {
  const fd = calls.socket(AF_INET, SOCK_DGRAM, 0);
  calls.bind(fd, sockaddr(LOOPBACK, 0));
  const place = Buffer.from(new ArrayBuffer(32));
  const at = Number(calls.address(place));
  place.writeUInt32LE(28, 28);
  calls.streams.getsockname(fd, at, at + 28);
  return { fd, port: place.readUInt16BE(2) };
}
