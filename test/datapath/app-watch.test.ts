/** Telling an app that is gone from one that is only slow. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { waitForAppToLeave } from '../../src/datapath/app-watch.ts';
import { pause, until } from './harness.ts';

/** Listens, says its port, and accepts nothing once it is stopped; it ends with its standard input. */
const APP = `
  process.stdin.on('end', () => process.exit()).resume();
  const server = require('node:net').createServer(() => {});
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => console.log(server.address().port));
`;

t.test(
  'an app too busy to accept has not left: draining waits for its grace, and ends when the app does',
  async (t) => {
    const app = spawn(process.execPath, ['-e', APP], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(app, 'exit');
    const [said] = (await once(app.stdout, 'data')) as [Buffer];
    const endpoint = { address: '127.0.0.1', port: Number(said.toString()) };
    app.kill('SIGSTOP');
    const waiting: Socket[] = [];
    for (let i = 0; i < 4; i++) waiting.push(connect(endpoint.port, endpoint.address).on('error', () => undefined));
    await pause(200);
    t.ok(
      waiting.some((socket) => socket.connecting),
      'its queue is full',
    );
    const began = performance.now();
    await waitForAppToLeave(endpoint, 2_500, () => false);
    t.ok(performance.now() - began >= 2_400, `waited ${performance.now() - began} ms`);
    let left = false;
    const gone = waitForAppToLeave(endpoint, 6_000, () => false).then(() => {
      left = true;
    });
    for (const socket of waiting) socket.destroy();
    app.kill('SIGKILL');
    await exited;
    await until('its end to be seen', () => left);
    await gone;
  },
);
