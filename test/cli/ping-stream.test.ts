import type { Socket } from 'node:net';
import t from 'tap';
import { encodeCompress } from '../../src/wire/compress.ts';
import { encodeErrorFrame } from '../../src/wire/error-frame.ts';
import { addPacketLabel } from '../../src/wire/label.ts';

import { ack, answered, OWN_HEADER, pingIn, roundOf, SILENT, target, tcp, udp } from './ping-kit.ts';

t.test('what is an answer on a connection', { jobs: 8 }, async (t) => {
  const bytewise = (bytes: Uint8Array, socket: Socket) => {
    let at = 0;
    const timer = setInterval(() => {
      if (at < bytes.length && !socket.destroyed) socket.setNoDelay(true).write(bytes.subarray(at, ++at));
      else clearInterval(timer);
    }, 2);
  };
  const answers: Readonly<Record<string, [(seqNo: number, socket: Socket) => void, object]>> = {
    'at once': [(seqNo, socket) => socket.end(ack(seqNo)), answered(undefined)],
    'byte by byte': [(seqNo, socket) => bytewise(ack(seqNo), socket), answered(undefined)],
    'packed, byte by byte': [(seqNo, socket) => bytewise(encodeCompress(ack(seqNo), 0), socket), answered(undefined)],
    'another number': [(seqNo, socket) => socket.write(ack((seqNo + 1) % 2 ** 32)), SILENT],
    'an error frame': [(_seqNo, socket) => socket.write(encodeErrorFrame('no')), SILENT],
    'a label in front': [(seqNo, socket) => socket.write(addPacketLabel(ack(seqNo), OWN_HEADER)), SILENT],
    'sealed, and we have no key': [(_seqNo, socket) => socket.write(Buffer.from([10, 0, 0, 0, 40])), SILENT],
    'cut off': [(seqNo, socket) => socket.end(ack(seqNo).subarray(0, 5)), SILENT],
    'an end': [(_seqNo, socket) => socket.end(), SILENT],
    'a reset': [(_seqNo, socket) => socket.resetAndDestroy(), SILENT],
    'without end': [
      (_seqNo, socket) => socket.write(Buffer.concat([Buffer.from('0281da', 'hex'), Buffer.alloc(9_000, 0xff)])),
      SILENT,
    ],
    nothing: [() => undefined, SILENT],
  };
  for (const [name, [made, expected]] of Object.entries(answers)) {
    void t.test(name, async (t) => {
      const port = await tcp(t, (frame, socket) => made(pingIn(frame).SeqNo, socket));
      const startedMs = performance.now();
      t.strictSame(await roundOf(t).stream(target(port)), expected);
      t.ok(name === 'nothing' || performance.now() - startedMs < 2_000, 'known as soon as it can be');
    });
  }
});

t.test('nobody listens', async (t) => {
  const port = await udp(t, () => undefined);
  t.strictSame(await roundOf(t).stream(target(port)), SILENT);
});
