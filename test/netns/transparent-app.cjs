// A stand-in for a member: UDP and TCP on the gossip port of both families, and a control port on loopback. It prints what it
// receives, a line each, and answers a stream with what it read. Run as `node -e`, so that any user may.
const dgram = require('node:dgram');
const http = require('node:http');
const net = require('node:net');
const { createHash } = require('node:crypto');

const PORT = Number(process.env.APP_PORT ?? 7946);
const CONTROL_PORT = Number(process.env.CONTROL_PORT ?? 9100);
const say = (line) => process.stdout.write(`${line}\n`);
const md5 = (bytes) => createHash('md5').update(bytes).digest('hex').slice(0, 8);
const payload = (size, prefix) => {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8)) & 0xff;
  const head = Buffer.from(prefix, 'hex');
  return Buffer.concat([head, bytes]);
};

const sockets = { udp4: dgram.createSocket('udp4'), udp6: dgram.createSocket({ type: 'udp6', ipv6Only: true }) };
for (const socket of Object.values(sockets)) {
  socket.on('message', (bytes, from) => {
    say(`udp ${from.address} ${from.port} ${bytes.length} ${md5(bytes)} ${bytes.subarray(0, 4).toString('hex')}`);
  });
  socket.bind(PORT);
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  const chunks = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', (error) => say(`tcp-error ${error.code}`));
  socket.on('end', () => {
    const bytes = Buffer.concat(chunks);
    const from = socket.remoteAddress.replace('::ffff:', '');
    say(`tcp ${from} ${bytes.length} ${md5(bytes)} ${bytes.subarray(0, 4).toString('hex')}`);
    socket.end(bytes);
  });
});
server.listen({ port: PORT, host: '::' });

const sendUdp = ({ to, port, size, prefix = '08' }, done) => {
  const bytes = payload(Number(size), prefix);
  sockets[to.includes(':') ? 'udp6' : 'udp4'].send(bytes, Number(port ?? PORT), to, (error) => {
    done({ error: error?.code, md5: md5(bytes), bytes: bytes.length });
  });
};

const sendTcp = ({ to, port, size, prefix = '08', timeout = '4000' }, done) => {
  const bytes = payload(Number(size), prefix);
  const socket = net.connect({ host: to, port: Number(port ?? PORT), allowHalfOpen: true });
  const chunks = [];
  const finish = (error) => {
    socket.destroy();
    const got = Buffer.concat(chunks);
    done({
      error,
      md5: md5(bytes),
      bytes: got.length,
      answer: md5(got),
      text: got.subarray(0, 200).toString('latin1'),
    });
  };
  socket.setTimeout(Number(timeout), () => finish('TIMEOUT'));
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', (error) => finish(error.code));
  socket.on('end', () => finish());
  socket.end(bytes);
};

http
  .createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const options = Object.fromEntries(searchParams);
    (pathname === '/udp' ? sendUdp : sendTcp)(options, (result) => response.end(JSON.stringify(result)));
  })
  .listen(CONTROL_PORT, '127.0.0.1', () => say('up'));
