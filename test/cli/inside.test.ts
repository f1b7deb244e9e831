/** Looking inside, in a process as users run it: a listen fence on loopback, members and strangers that send real gossip. */
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { addPacketLabel, encodeLabelHeader } from '../../src/wire/label.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodePushPull } from '../../src/wire/push-pull.ts';
import { type EngineName, overEngines, withEngine } from '../lab/engines.ts';
import { alive } from '../ring/merged-ring.ts';
import { echoApp, eventually, freePort, opened, ringfence, start } from './fence-process.ts';

interface FenceRows {
  readonly ring: RingView;
  readonly rejections: readonly { readonly excerpt: string }[];
}
interface RingView {
  readonly warmingUp: boolean;
  readonly members: { readonly rows: readonly { name: string; state: string; labelState: string | null }[] };
  readonly foreign: { readonly rows: readonly { name: string; label: string }[] };
  readonly alarms: { readonly rows: readonly { name: string; text: string }[] };
}

type Test = Pick<typeof t, 'testdir' | 'teardown'>;

async function startListen(t: Test, engine: EngineName, more: object = {}) {
  const [port, appPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const file = join(t.testdir({}), 'fence.yaml');
  const fence = {
    name: 'traces',
    cluster: 'blue',
    stage: 'accept',
    listen: `127.0.0.1:${port}`,
    app: { address: `127.0.0.1:${appPort}` },
    admit: { cidrs: ['127.0.0.0/8'] },
    limits: { mergeWarmUp: '1s', header: '1s' },
    ...more,
  };
  const config = withEngine({ fences: [fence], admin: { address: `127.0.0.1:${adminPort}` } }, engine);
  writeFileSync(file, JSON.stringify(config));
  const app = await echoApp(appPort);
  t.teardown(() => app.close());
  const running = start(['run', '-c', file]);
  t.teardown(() => running.child.kill('SIGKILL'));
  const admin = `http://127.0.0.1:${adminPort}`;
  await opened(running, engine);
  const get = async (path: string) => (await (await fetch(`${admin}${path}`)).json()) as { fences: [FenceRows] };
  return { admin, port, running, get, ring: async () => (await get('/api/v1/members')).fences[0].ring };
}

function datagram(port: number, packet: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.send(packet, port, '127.0.0.1', () => socket.close(() => resolve()));
  });
}

function stream(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    socket.on('error', () => {}).on('close', () => resolve());
    socket.resume().setTimeout(5_000, () => socket.destroy());
  });
}

const labelled = (label: string, bytes: Uint8Array) => addPacketLabel(bytes, encodeLabelHeader(Buffer.from(label)));
const news = (name: string, host: number) => encodeMessage(alive(name, host));
const table = (name: string, host: number) => {
  const { type: _type, Node, ...rest } = alive(name, host);
  return encodePushPull({ join: true, nodes: [{ Name: Node, State: 0, ...rest }], userState: new Uint8Array(0) });
};

overEngines(t, 'members, a rejected table, and a merge', async (t, engine) => {
  const { port, admin, running, get, ring } = await startListen(t, engine);
  await datagram(port, labelled('blue', news('a-1', 1)));
  await stream(port, table('a-2', 2));
  const two = ({ members }: RingView) => members.rows.map(({ name }) => name).join() === 'a-1,a-2';
  await eventually('both members are known, of a packet and of a stream', async () => two(await ring()));
  await eventually('the warm-up ends', async () => !(await ring()).warmingUp);
  t.strictSame((await ring()).foreign.rows, []);

  await stream(port, labelled('green', table('b-\u001b[31m', 9)));
  await eventually('a table that was rejected is read', async () => (await ring()).foreign.rows.length === 1);
  t.match((await ring()).foreign.rows, [{ name: 'b-\\x1b[31m', label: 'green' }]);
  await eventually('the rejection says what it held', async () => {
    const { rejections } = (await get('/api/v1/rejections')).fences[0];
    return rejections.some(({ excerpt }) => /push\/pull join 1 members .*b-\\x1b\[31m/.test(excerpt));
  });
  t.strictSame((await ring()).alarms.rows, []);

  await datagram(port, labelled('blue', news('b-\u001b[31m', 9)));
  await eventually('its member in our own gossip is a merge', async () => (await ring()).alarms.rows.length === 1);
  t.match(
    (await ring()).alarms.rows[0]?.text,
    /belongs to cluster "green": brought by an alive message of 127\.0\.0\.1:/,
  );
  await eventually('and a line in the log', async () => running.output().includes('RINGS MERGE: b-'));
  const { stdout } = await ringfence(['status', '--admin', admin]);
  t.match(stdout, /members {8}alive 3, suspect 0, dead 0, left 0; foreign sightings 1/);
  t.match(stdout, /merge alarms {3}1\n.*RINGS MERGE: b-/);
  t.notMatch(stdout + running.output(), '\u001b[31m', 'nothing that others chose reaches the terminal');
});

overEngines(t, 'inspection turned off', async (t, engine) => {
  const { port, get, admin } = await startListen(t, engine, { limits: { inspectBytesPerSecond: 0 } });
  await datagram(port, news('a-1', 1));
  const [fence] = (await get('/api/v1/members')).fences;
  t.strictSame(fence, { name: 'traces', ring: null });
  const page = await (await fetch(`${admin}/metrics`)).text();
  t.notMatch(page, /^ringfence_members\{/m);
  const { stdout } = await ringfence(['status', '--admin', admin]);
  t.match(stdout, /note {11}Inspection is off/);
});
