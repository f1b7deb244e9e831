// Sends datagrams much faster than a fence forwards them (sendmmsg), for a while: TARGET (IPv4), PORT, FLOOD_MS, PACKETS (hex, comma
// between), KOFFI (its path). Linux, 64-bit.
const { TARGET, PORT, FLOOD_MS, PACKETS, KOFFI } = process.env;
const koffi = require(KOFFI);
const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const connect = libc.func('int connect(int fd, const void *address, uint32_t bytes)');
const sendmmsg = libc.func('int sendmmsg(int fd, void *messages, uint32_t count, int flags)');

const packets = PACKETS.split(',').map((hex) => Buffer.from(hex, 'hex'));
const [MMSGHDR_BYTES, IOVEC_BYTES] = [64, 16];
const payloads = Buffer.concat(packets);
const iovecs = Buffer.alloc(packets.length * IOVEC_BYTES);
const messages = Buffer.alloc(packets.length * MMSGHDR_BYTES);
let at = 0;
packets.forEach((packet, i) => {
  iovecs.writeBigUInt64LE(koffi.address(payloads) + BigInt(at), i * IOVEC_BYTES);
  iovecs.writeBigUInt64LE(BigInt(packet.length), i * IOVEC_BYTES + 8);
  messages.writeBigUInt64LE(koffi.address(iovecs) + BigInt(i * IOVEC_BYTES), i * MMSGHDR_BYTES + 16);
  messages.writeBigUInt64LE(1n, i * MMSGHDR_BYTES + 24);
  at += packet.length;
});
const address = Buffer.from([
  2,
  0,
  Number(PORT) >> 8,
  Number(PORT) & 255,
  ...TARGET.split('.').map(Number),
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
]);
const fd = socket(2, 2, 0);
if (fd < 0 || connect(fd, address, 16) < 0) throw new Error('no socket');
process.stdout.write('flooding\n');
let sent = 0;
const endMs = performance.now() + Number(FLOOD_MS);
// Refusals (the receiver's host answers, or the queue is full) are not what is measured.
while (performance.now() < endMs) sent += Math.max(0, sendmmsg(fd, messages, packets.length, 0));
process.stdout.write(`sent ${sent}\n`);
