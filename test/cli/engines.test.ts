/** Which engine carries a fence: the Linux one where koffi is at hand, node's sockets where it is not, and a refusal where neither may be. */

import { createSocket } from 'node:dgram';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { FenceStatus } from '../../src/admin/status.ts';
import { DIST, echoApp, eventually, freePort, start } from './fence-process.ts';

const skip = process.platform === 'linux' ? false : 'the Linux engine needs Linux';
const OWN = Buffer.concat([Buffer.from([244, 4]), Buffer.from('blue'), Buffer.from([8, 1])]);

type Test = Pick<typeof t, 'testdir' | 'teardown'>;

/** A configuration of one listen fence with an app that answers; `engine` as it stands in the file. */
async function configure(t: Test, engine: string) {
  const [port, appPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const app = await echoApp(appPort);
  t.teardown(() => app.close());
  const file = join(t.testdir({}), 'fence.yaml');
  const lines = [
    'fences:',
    '  - name: traces',
    '    cluster: blue',
    '    stage: accept',
    `    listen: "127.0.0.1:${port}"`,
    `    app: { address: "127.0.0.1:${appPort}" }`,
    '    admit: { cidrs: [127.0.0.0/8] }',
    engine,
    `admin: { address: "127.0.0.1:${adminPort}" }`,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return { file, port, app, admin: `http://127.0.0.1:${adminPort}` };
}

/** The build where no package lies beside it or above. */
function buildWithoutPackages(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'ringfence-engines-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(dirname(DIST), join(dir, 'dist'), { recursive: true });
  cpSync(join(dirname(DIST), '..', 'package.json'), join(dir, 'package.json'));
  return join(dir, 'dist', 'ringfence.js');
}

async function statusOf(admin: string): Promise<FenceStatus> {
  return await eventually('the status is there', async () => {
    const { fences } = (await (await fetch(`${admin}/api/v1/status`)).json()) as { fences: FenceStatus[] };
    return fences[0]?.app.up === true && fences[0];
  });
}

/** Runs `entry` until its status is there, sends a labelled datagram through it, and gives the status and what the command prints of it. */
async function look(t: Test, entry: string, engine: string) {
  const { file, port, app, admin } = await configure(t, engine);
  const fence = start(['run', '-c', file], {}, entry);
  t.teardown(() => fence.child.kill('SIGKILL'));
  const status = await statusOf(admin);
  const socket = createSocket('udp4');
  t.teardown(() => void socket.close());
  await eventually('a datagram reaches the app without its label', async () => {
    socket.send(OWN, port, '127.0.0.1');
    return app.seen.includes('0801');
  });
  const { stdout } = await start(['status', '--admin', admin], {}, entry).finished;
  return { status, printed: stdout, log: fence.output() };
}

t.test('koffi is at hand', { skip }, async (t) => {
  const auto = await look(t, DIST, '');
  t.match(auto.status, { engine: 'linux', engineReason: 'its system calls are at hand' });
  t.match(auto.printed, /^ {2}path +listen \(linux: its system calls are at hand\)$/m);
  t.match(auto.log, /"engine":"linux","engineReason":"its system calls are at hand"/);
  t.match((await look(t, DIST, '    engine: linux')).status, { engine: 'linux', engineReason: 'engine: linux is set' });
  const portable = await look(t, DIST, '    engine: portable');
  t.match(portable.status, { engine: 'portable', engineReason: 'engine: portable is set' });
});

t.test('koffi is missing', { skip }, async (t) => {
  const entry = buildWithoutPackages(t);
  const why = /the Linux engine needs koffi and its binary for this platform/;
  const auto = await look(t, entry, '    engine: auto');
  t.match(auto.status, { engine: 'portable', engineReason: why });
  t.match(auto.printed, /^ {2}path +listen \(portable: the Linux engine needs koffi/m);
  t.match(auto.log, /"engine":"portable","engineReason":"the Linux engine needs koffi/);
  const { file } = await configure(t, '    engine: linux');
  const refused = await start(['run', '-c', file], {}, entry).finished;
  t.equal(refused.code, 1);
  t.match(refused.stderr, /cannot start: engine: linux cannot be: the Linux engine needs koffi/);
});

t.test('many fences share one thread', { skip }, async (t) => {
  const tasksOf = async (fences: number): Promise<number> => {
    const ports: number[] = [];
    while (ports.length < fences + 2) {
      const port = await freePort();
      if (!ports.includes(port)) ports.push(port);
    }
    const [appPort = 0, adminPort = 0, ...own] = ports;
    const app = await echoApp(appPort);
    t.teardown(() => app.close());
    const file = join(t.testdir({}), `${fences}.yaml`);
    const rows = own.flatMap((port, i) => [
      `  - name: f${i}`,
      '    cluster: blue',
      '    stage: accept',
      `    listen: "127.0.0.1:${port}"`,
      `    app: { address: "127.0.0.1:${appPort}" }`,
      '    admit: { cidrs: [127.0.0.0/8] }',
    ]);
    writeFileSync(file, `${['fences:', ...rows, `admin: { address: "127.0.0.1:${adminPort}" }`].join('\n')}\n`);
    const fence = start(['run', '-c', file]);
    t.teardown(() => fence.child.kill('SIGKILL'));
    await eventually('all are ready', async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok);
    const socket = createSocket('udp4');
    t.teardown(() => void socket.close());
    for (const [i, port] of own.entries()) {
      await eventually(`fence ${i} forwards`, async () => {
        socket.send(Buffer.concat([OWN, Buffer.from([i])]), port, '127.0.0.1');
        return app.seen.includes(`0801${i.toString(16).padStart(2, '0')}`);
      });
    }
    const tasks = readdirSync(`/proc/${fence.child.pid}/task`).length;
    t.comment(
      `${fences} fences: ${/VmRSS:\s+(.*)/.exec(readFileSync(`/proc/${fence.child.pid}/status`, 'utf8'))?.[1]}`,
    );
    const stopMs = performance.now();
    fence.child.kill('SIGTERM');
    await eventually('it has heard', async () => fence.output().includes('SIGTERM: forwarding'));
    fence.child.kill('SIGTERM');
    t.equal((await fence.finished).code, 0);
    t.ok(performance.now() - stopMs < 10_000, 'all of them stop');
    return tasks;
  };
  const alone = await tasksOf(1);
  t.ok((await tasksOf(20)) <= alone + 1, 'twenty fences have no more threads than one');
});
