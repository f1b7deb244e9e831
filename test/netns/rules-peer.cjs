// Floods TARGETS with unlabelled gossip packets that carry the time when they were sent, and notes every one that arrives: the last number
// of the address that it came from, whether it has a label header, when it was sent, when it came (CLOCK_MONOTONIC, ms: the same
// in every process). FLOOD_MS, OUT (a file of doubles, four for each packet). PORT is the own, TO that of the
// targets; ID, where it is not 0, stands in the packets for the address, which a proxy hides. Run as `node -e`.
const dgram = require('node:dgram');
const { writeFileSync } = require('node:fs');

const HAS_LABEL = 244;
const USER = 8;
const MARK = 0x52;
const BURST = 16;
const BETWEEN_MS = 1;
const QUEUED_MAX = 256;
const { TARGETS, FLOOD_MS, OUT, PORT = '7946', TO = '7946', ID = '0' } = process.env;
const targets = TARGETS === '' ? [] : TARGETS.split(',');
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
const seen = [];

const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 });
socket.on('message', (bytes, { address }) => {
  const labelled = bytes[0] === HAS_LABEL;
  const body = labelled ? bytes.subarray(2 + bytes[1]) : bytes;
  if (body[0] !== USER || body[1] !== MARK || body.length < 11) return;
  seen.push(body[10] || Number(address.split('.')[3]), labelled ? 1 : 0, body.readDoubleLE(2), nowMs());
});
socket.bind(Number(PORT), () => {
  process.stdout.write('up\n');
  const endMs = nowMs() + Number(FLOOD_MS);
  const timer = setInterval(() => {
    for (let i = 0; i < BURST && targets.length > 0 && socket.getSendQueueCount() < QUEUED_MAX; i++) {
      const packet = Buffer.alloc(40);
      packet[0] = USER;
      packet[1] = MARK;
      packet.writeDoubleLE(nowMs(), 2);
      packet[10] = Number(ID);
      socket.send(packet, Number(TO), targets[i % targets.length], () => undefined);
    }
    if (nowMs() < endMs) return;
    clearInterval(timer);
    // What is still on its way is worth nothing any more.
    setTimeout(() => {
      writeFileSync(OUT, Buffer.from(new Float64Array(seen).buffer));
      process.stdout.write(`done ${seen.length / 4}\n`);
      socket.close();
    }, 300);
  }, BETWEEN_MS);
});
