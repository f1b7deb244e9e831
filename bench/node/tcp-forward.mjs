// The least that a TCP forwarder on node:net can do: the label header compared where it stands, then every byte both ways with backpressure and
// half-closes. No policy, no deadlines, no counters: what the portable engine could reach if all of the fence cost nothing.
//
//   node tcp-forward.mjs --at A:P --app A:P --label HEX --offset N
import { connect, createServer } from 'node:net';
import { parseArgs } from 'node:util';

const BACKLOG = 4_096;

const { values } = parseArgs({
  options: { at: { type: 'string' }, app: { type: 'string' }, label: { type: 'string' }, offset: { type: 'string' } },
});
const endpoint = (text = '') => ({ host: text.split(':')[0], port: Number(text.split(':')[1]) });
const header = Buffer.from(values.label ?? '', 'hex');
const labelAt = Number(values.offset);
const bodyAt = labelAt + header.length;
const app = { ...endpoint(values.app), allowHalfOpen: true };

/** Both have ended: closing sends the FIN. */
function end(socket, other) {
  if (socket.readableEnded && other.writableEnded) socket.destroy();
  else socket.end();
}

createServer({ allowHalfOpen: true }, (down) => {
  let head = Buffer.alloc(0);
  let up;
  down.on('error', () => up?.destroy());
  down.on('drain', () => up?.resume());
  down.on('end', () => up !== undefined && end(up, down));
  down.on('data', (bytes) => {
    if (up !== undefined) {
      if (!up.write(bytes)) down.pause();
      return;
    }
    head = head.length === 0 ? bytes : Buffer.concat([head, bytes]);
    if (head.length < bodyAt) return;
    if (head.compare(header, 0, header.length, labelAt, bodyAt) !== 0) {
      down.resetAndDestroy();
      return;
    }
    up = connect(app);
    up.on('error', () => down.destroy());
    up.on('drain', () => down.resume());
    up.on('end', () => end(down, up));
    up.on('data', (answer) => {
      if (!down.write(answer)) up.pause();
    });
    up.write(head);
  });
}).listen({ ...endpoint(values.at), backlog: BACKLOG });
process.on('SIGTERM', () => process.exit(0));
