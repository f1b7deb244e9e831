// The least that a UDP forwarder on node:dgram can do: a connected socket for each peer, the label header compared and stripped, answers sent
// back. No policy, no counters, no bound on sessions: what the portable engine could reach if all of the fence cost nothing.
//
//   node udp-forward.mjs --listen A:P --app A:P --label TEXT
import { createSocket } from 'node:dgram';
import { parseArgs } from 'node:util';

const ROOM_BYTES = 4 << 20;
const HAS_LABEL = 244;

const { values } = parseArgs({
  options: { listen: { type: 'string' }, app: { type: 'string' }, label: { type: 'string' } },
});
const endpoint = (text = '') => ({ address: text.split(':')[0], port: Number(text.split(':')[1]) });
const [listen, app] = [endpoint(values.listen), endpoint(values.app)];
const label = Buffer.from(values.label ?? '');
const header = Buffer.concat([Buffer.from([HAS_LABEL, label.length]), label]);
const nothing = () => undefined;

const listener = createSocket({ type: 'udp4', recvBufferSize: ROOM_BYTES });
const sessions = new Map();

function open(key, { address, port }) {
  const socket = createSocket('udp4');
  const session = { socket, ready: false };
  sessions.set(key, session);
  socket.on('error', nothing);
  socket.on('message', (bytes) => listener.send(bytes, port, address, nothing));
  socket.bind(0, listen.address, () =>
    socket.connect(app.port, app.address, () => {
      session.ready = true;
    }),
  );
  return session;
}

listener.on('message', (bytes, peer) => {
  if (bytes.length < header.length || header.compare(bytes, 0, header.length) !== 0) return;
  const key = `${peer.address}:${peer.port}`;
  const session = sessions.get(key) ?? open(key, peer);
  if (session.ready) session.socket.send(bytes.subarray(header.length));
});
listener.bind(listen.port, listen.address, () =>
  process.stdout.write(`${JSON.stringify({ listening: values.listen })}\n`),
);
process.on('SIGTERM', () => process.exit(0));
