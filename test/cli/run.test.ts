/** Smoke test of the build: `ringfence run` with a listen fence on loopback in front of an app that echoes. */
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { type EngineName, overEngines } from '../lab/engines.ts';
import {
  type EchoApp,
  echoApp,
  eventually,
  freePort,
  opened,
  type Running,
  ringfence,
  start,
} from './fence-process.ts';

const OWN = Buffer.concat([Buffer.from([244, 4]), Buffer.from('blue')]);
const FOREIGN = Buffer.concat([Buffer.from([244, 5]), Buffer.from('green')]);
const PING = Buffer.from([0, 0x80]);

interface Lab {
  readonly file: string;
  readonly engine: EngineName;
  readonly admin: string;
  readonly port: number;
  readonly appPort: number;
}

type Test = Pick<typeof t, 'testdir' | 'teardown'>;

async function lab(t: Test, engine: EngineName, more = ''): Promise<Lab> {
  const [port, appPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const file = join(t.testdir({}), 'fence.yaml');
  writeFileSync(
    file,
    `fences:
  - name: traces
    cluster: blue
    stage: accept
    listen: "127.0.0.1:${port}"
    app: { address: "127.0.0.1:${appPort}" }
    admit: { cidrs: [127.0.0.0/8] }
    engine: ${engine}
    ${more}
admin: { address: "127.0.0.1:${adminPort}" }
`,
  );
  return { file, engine, admin: `http://127.0.0.1:${adminPort}`, port, appPort };
}

async function startFence(t: Test, { file, engine, admin }: Lab): Promise<Running> {
  const fence = start(['run', '-c', file]);
  t.teardown(() => fence.child.kill('SIGKILL'));
  await eventually('the admin API answers', async () => (await fetch(`${admin}/healthz`)).ok);
  await opened(fence, engine);
  return fence;
}

/** The answer to a datagram, undefined after 500 ms without one. */
function ask(port: number, packet: Buffer): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const timer = setTimeout(() => {
      socket.close();
      resolve(undefined);
    }, 500);
    socket.on('message', (answer) => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    });
    socket.send(packet, port, '127.0.0.1');
  });
}

/** What a stream answers until it is closed. */
function exchange(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    const got: Buffer[] = [];
    socket.on('data', (chunk) => got.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(got)));
    socket.setTimeout(5_000, () => socket.destroy());
  });
}

const readyz = async ({ admin }: Lab) => {
  const answer = await fetch(`${admin}/readyz`);
  return { status: answer.status, body: await answer.text() };
};

overEngines(t, 'a fence in front of an app', async (t, engine) => {
  const place = await lab(t, engine, 'limits: { drainGrace: 30s }');
  const fence = await startFence(t, place);
  t.match(
    await readyz(place),
    { status: 503, body: /^not ready\ntraces: / },
    'the app is not there yet, and the fence runs',
  );
  const app: EchoApp = await echoApp(place.appPort);
  let open = true;
  const closeApp = async () => {
    if (open) await app.close();
    open = false;
  };
  t.teardown(closeApp);
  await eventually('ready once the app is there', async () => (await readyz(place)).status === 200);

  t.strictSame(await ask(place.port, Buffer.concat([OWN, PING])), PING, 'an own packet passes, its label stripped');
  t.equal(await ask(place.port, Buffer.concat([FOREIGN, PING])), undefined, 'a foreign one does not');
  const explained = await exchange(place.port, Buffer.concat([FOREIGN, Buffer.from([6])]));
  t.match(
    [explained[0], explained.toString('latin1')],
    [13, /green/],
    'a foreign stream is answered with an error frame',
  );
  t.equal(app.seen.filter((hex) => hex !== PING.toString('hex')).length, 0, 'nothing foreign reached the app');

  const page = await (await fetch(`${place.admin}/metrics`)).text();
  for (const kind of ['packet', 'stream']) {
    t.match(
      page,
      `ringfence_rejected_total{fence="traces",direction="inbound",transport="native",kind="${kind}",reason="label_foreign"} 1`,
    );
  }
  const status = await ringfence(['status', '--admin', place.admin]);
  t.match([status.code, status.stdout], [0, /^traces: accept \(at most accept\), ready\n/]);
  t.match(status.stdout, /rejected {7}label_foreign 2/);
  t.match(status.stdout, /would reject {3}label 2, enforce 2 /);
  t.match(status.stdout, /dropped {8}(none|app_unreachable \d+)\n/);
  const asJson = await ringfence(['status', '--json', '--fence', 'traces', '--admin', place.admin]);
  t.match(JSON.parse(asJson.stdout), { fences: [{ name: 'traces', rejected: { label_foreign: 2 } }] });
  t.match(await ringfence(['status', '--fence', 'x', '--admin', place.admin]), {
    code: 1,
    stderr: /no fence named x; there are: traces\n$/,
  });

  t.match(await ringfence(['stage', 'observe', '--admin', place.admin]), {
    code: 0,
    stdout: 'traces: accept -> observe\n',
  });
  t.match(await ringfence(['stage', 'observe', '--admin', place.admin]), {
    code: 0,
    stdout: 'traces: already at observe\n',
  });
  t.strictSame(
    await ask(place.port, Buffer.concat([FOREIGN, PING])),
    Buffer.concat([FOREIGN, PING]),
    'observe lets everything pass as it is',
  );
  t.match(await ringfence(['stage', 'enforce', '--admin', place.admin]), {
    code: 1,
    stderr: /enforce cannot be: a listen fence/,
  });

  const second = await ringfence(['run', '-c', place.file]);
  t.match(second, {
    code: 1,
    stderr: /^ringfence: cannot start: .*127\.0\.0\.1:\d+: the port is in use \(EADDRINUSE\)\n$/,
  });

  fence.child.kill('SIGTERM');
  await eventually('draining', async () => (await readyz(place)).body.includes('stopping'));
  t.strictSame(await ask(place.port, PING), PING, 'a stopping fence forwards while the app is there');
  await closeApp();
  const { code, stdout, stderr } = await fence.finished;
  t.equal(code, 0);
  t.equal(stderr, '');
  const lines = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const messages = lines.map(({ msg }) => msg);
  t.ok(
    messages.some((message) => /^stopped; cut \d+ streams and \d+ sessions$/.test(String(message))),
    'it says what the stop cut',
  );
  t.equal(
    messages.filter((message) => String(message).startsWith('not ready')).length,
    1,
    'one line for the missing app',
  );
  t.match(
    lines.find(({ msg }) => msg === 'rejected'),
    { fence: 'traces', level: 'warn', reason: 'label_foreign', label: 'green', ownLabel: 'blue', direction: 'inbound' },
  );
});

overEngines(t, 'a second signal stops at once', async (t, engine) => {
  const place = await lab(t, engine, 'limits: { drainGrace: 1h }');
  const fence = await startFence(t, place);
  const app = await echoApp(place.appPort);
  t.teardown(() => app.close());
  await eventually('ready', async () => (await readyz(place)).status === 200);
  fence.child.kill('SIGTERM');
  await eventually('draining', async () => (await readyz(place)).body.includes('stopping'));
  fence.child.kill('SIGINT');
  const { code, stdout } = await fence.finished;
  t.equal(code, 0);
  t.match(stdout, /second signal \(SIGINT\): stopping at once/);
});

overEngines(t, 'two signals at once end it in order, and so does one that comes while it starts', async (t, engine) => {
  const place = await lab(t, engine, 'limits: { drainGrace: 1h }');
  const fence = await startFence(t, place);
  const app = await echoApp(place.appPort);
  t.teardown(() => app.close());
  await eventually('ready', async () => (await readyz(place)).status === 200);
  fence.child.kill('SIGTERM');
  fence.child.kill('SIGINT');
  const both = await fence.finished;
  t.equal(both.code, 0);
  t.match(both.stdout, /stopped; cut/);

  const early = start(['run', '-c', place.file]);
  t.teardown(() => early.child.kill('SIGKILL'));
  await eventually('its first line', async () => early.output().includes('ringfence starts'));
  early.child.kill('SIGTERM');
  await eventually('it has heard', async () => early.output().includes('SIGTERM'));
  early.child.kill('SIGTERM');
  t.equal((await early.finished).code, 0);
});

overEngines(t, 'the gossip port in use is one clear line', async (t, engine) => {
  const place = await lab(t, engine);
  const app = await echoApp(place.port);
  t.teardown(() => app.close());
  const { code, stderr } = await ringfence(['run', '-c', place.file]);
  t.equal(code, 1);
  t.match(stderr, new RegExp(`^ringfence: cannot start: .*127\\.0\\.0\\.1:${place.port}.*\\n$`));
  await t.rejects(fetch(`${place.admin}/healthz`), 'and nothing stays behind');
});
