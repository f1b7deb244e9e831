/** UDP sessions where the system refuses, and where a stranger is quicker than the app. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { createSocket, Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { createListenPath } from '../../src/datapath/listen.ts';
import { SEARCH_PAUSE_MS } from '../../src/datapath/port-search.ts';
import { Remotes } from '../../src/datapath/remotes.ts';
import { createSessions, numericLookup } from '../../src/datapath/sessions.ts';
import { MESSAGE, marked } from './cases.ts';
import { dropped, frames, LIMITS, makeContext, pause, until } from './harness.ts';

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A shell that changes this process's limits: started before there are no descriptors left to start it with. */
async function inShell(shell: ChildProcessWithoutNullStreams, command: string): Promise<void> {
  shell.stdin.write(`${command}; echo done\n`);
  await once(shell.stdout, 'data');
}

async function udp(port = 0): Promise<UdpSocket> {
  const socket = createSocket({ type: 'udp4', lookup: numericLookup });
  const listening = once(socket, 'listening');
  socket.bind(port, '127.0.0.1');
  await listening;
  return socket;
}

t.test(
  'no descriptor left for a session: the datagram is dropped once, counted, and the next one tries anew',
  {
    skip: hasPrlimit() ? false : 'prlimit (util-linux) is not on this machine',
  },
  async (t) => {
    const made = makeContext({ stage: 'enforce' });
    const app = await udp();
    let got = 0;
    app.on('message', () => got++);
    const peer = await udp();
    const path = createListenPath(made.context, {
      listen: { address: '127.0.0.1', port: 0 },
      app: { address: '127.0.0.1', port: app.address().port },
      streams: { transport: 'auto', rejectStreams: 'explain', limits: LIMITS },
    });
    await path.start();
    await until('the first probe of the app', () => path.appUp() !== undefined);
    const send = () => peer.send(marked('own', MESSAGE), path.listening().port, '127.0.0.1');
    const shell = spawn('sh', { stdio: 'pipe' });
    const held: number[] = [];
    const highest = openSync('/dev/null', 'r');
    held.push(highest);
    await inShell(shell, `prlimit --pid ${process.pid} --nofile=${highest + 8}:`);
    try {
      for (let i = 0; i < 64; i++) held.push(openSync('/dev/null', 'r'));
      t.fail('the limit did not hold');
    } catch (error) {
      t.match(error, { code: 'EMFILE' });
    }
    try {
      send();
      await until('the drop', () => Object.keys(dropped(made.reading())).length > 0);
      await pause(50);
      t.equal(dropped(made.reading()).send_failed, 1, 'once');
      t.equal(path.counts().sessions, 0);
    } finally {
      for (const fd of held) closeSync(fd);
      await inShell(shell, `prlimit --pid ${process.pid} --nofile=$(ulimit -Hn):`);
      shell.stdin.end();
    }
    send();
    await until('the next datagram', () => got === 1);
    t.same(frames(made.reading()), { 'inbound native packet own pass': 2 });
    peer.close();
    await path.stop();
    app.close();
  },
);

t.test('what reaches the socket of a session before it is connected is no answer of the app', async (t) => {
  const made = makeContext();
  const app = await udp();
  const stranger = await udp();
  const answers: string[] = [];
  const sessions = createSessions({
    app: { address: '127.0.0.1', port: app.address().port },
    sessions: 4,
    sessionIdleMs: 5_000,
    context: made.context,
    onAnswer: (packet) => answers.push(packet.toString()),
  });
  app.on('message', (packet, from) => app.send(`answer to ${packet}`, from.port, from.address));
  // As if the stranger hit the port between the two system calls that node makes of a connect.
  const { connect } = UdpSocket.prototype;
  t.teardown(() => {
    UdpSocket.prototype.connect = connect;
  });
  UdpSocket.prototype.connect = function (this: UdpSocket, port: number, address?: string) {
    this.bind({ port: 0, exclusive: true });
    stranger.send('forged', this.address().port, '127.0.0.1');
    Reflect.apply(connect, this, [port, address]);
  } as typeof connect;
  sessions.send(Buffer.from('ping'), new Remotes().of('127.0.0.9', 7946), made.context.now());
  await until('the answer', () => answers.includes('answer to ping'));
  t.same(answers, ['answer to ping']);
  sessions.stop();
  app.close();
  stranger.close();
});

t.test('no port left for sessions: it is searched for now and then, and said', async (t) => {
  const made = makeContext();
  const app = await udp();
  let got = 0;
  app.on('message', () => got++);
  const sessions = createSessions({
    app: { address: '127.0.0.1', port: app.address().port },
    sessions: 4,
    sessionIdleMs: 5_000,
    context: made.context,
    onAnswer: () => undefined,
  });
  const { connect } = UdpSocket.prototype;
  const restore = () => {
    UdpSocket.prototype.connect = connect;
  };
  t.teardown(restore);
  let searches = 0;
  // What node says where the kernel has none to bind.
  UdpSocket.prototype.connect = function (this: UdpSocket) {
    searches++;
    this.emit('error', Object.assign(new Error('bind EADDRINUSE'), { code: 'EADDRINUSE' }));
  } as typeof connect;
  const remotes = new Remotes();
  const send = (host: number) =>
    sessions.send(Buffer.from('ping'), remotes.of(`127.0.0.${host}`, 7946), made.context.now());
  for (let host = 1; host <= 20; host++) send(host);
  t.equal(searches, 1);
  t.equal(dropped(made.reading()).send_failed, 20);
  t.same(
    made.faults.map(({ code }) => code),
    ['ports_exhausted'],
  );
  t.equal(sessions.count(), 0);
  restore();
  await pause(SEARCH_PAUSE_MS);
  send(1);
  await until('the datagram', () => got === 1);
  sessions.stop();
  app.close();
});
