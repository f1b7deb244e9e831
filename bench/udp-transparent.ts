/** Datagrams a second through the transparent path, between network namespaces, beside nginx and a C forwarder in the same place. Root. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLab, type Host, type Lab } from '../test/lab/lab.ts';
import type { LabProcess } from '../test/lab/process.ts';
import { nginxConfig } from './engines.ts';
import { type Context, type Engine, inTurn, type Measure } from './measure.ts';
import { LABEL, type Packet, userPacket } from './packets.ts';
import { cpuMs, pin, sleep, softirqMs } from './processes.ts';
import { type Counts, checkCounts, type Sink } from './udp-sink.ts';

const ENGINES = ['linux', 'nginx', 'nginx_oneway', 'c'] as const satisfies readonly Engine[];
const GOSSIP_PORT = 7946;
const APP_PORT = 7947;
/** The app's own user, whose traffic the rules catch. */
const APP_UID = 65_534;
const WARM_MS = 250;
const SETTLE_MS = 200;
const WAIT_MS = 10_000;

/** A host with a proxy in front of an app. */
interface Arm {
  readonly engine: Engine;
  readonly host: Host;
  readonly pid: number;
  readonly sink: Pick<Sink, 'counts' | 'begin'>;
  /** Of a fence: packets that it says it let through. */
  passed(): Promise<number>;
}

export const UDP_TRANSPARENT: Measure = {
  name: 'udp_forward_transparent',
  group: 'udp',
  figures: {
    udp_forward_transparent:
      'datagrams of 200 B a second of a core from another host (network namespaces on a bridge): the fence behind the kernel rules, sending to the app from the peer’s own address; the others as proxies in the same place; a plain user message in each: nothing inside to look at',
  },
  engines: ENGINES,
  async open(context) {
    const lab = createLab({ name: 'tbench' });
    try {
      const flooder = lab.addHost('load');
      const packet = userPacket();
      const arms = new Map<Engine, Arm>();
      for (const engine of ENGINES.filter((one) => context.engines.includes(one))) {
        arms.set(engine, await openArm(context, lab, engine, packet));
      }
      return {
        round: () =>
          inTurn([...arms.keys()], async (engine) => {
            const arm = arms.get(engine);
            if (arm === undefined) throw new Error(`no ${engine}`);
            return { udp_forward_transparent: await flood(context, flooder, arm, packet) };
          }),
        notes: () => [
          'what the kernel does for a datagram that arrives, its rules for the fence included, runs on the sender’s core here and counts for nobody',
        ],
        close: () => lab.close(),
      };
    } catch (error) {
      await lab.close();
      throw error;
    }
  },
};

async function openArm(context: Context, lab: Lab, engine: Engine, packet: Packet): Promise<Arm> {
  const host = lab.addHost(engine.replace('_', '-'));
  const app = `${host.ipv4}:${engine === 'linux' ? GOSSIP_PORT : APP_PORT}`;
  const expected = engine.startsWith('nginx') ? packet.labelled : packet.body;
  const numberAt = expected.length - packet.body.length + packet.numberAt;
  const sink = await startSink(context, lab, host, app, expected, numberAt);
  if (engine !== 'linux') {
    const proxy = await startPlain(context, host, engine, app);
    pin(proxy.pid, context.cores.proxy);
    return { engine, host, pid: proxy.pid, sink, passed: () => Promise.resolve(Number.NaN) };
  }
  const config = {
    name: 'bench',
    cluster: LABEL,
    stage: 'accept',
    engine: 'linux',
    transparent: {},
    admit: { cidrs: ['10.0.0.0/8'] },
  };
  const fence = await host.fence({ log: { level: 'warn' }, fences: [config] }, { until: 'ready' });
  const { pid } = fence.process();
  pin(pid, context.cores.proxy);
  const where = { kind: 'packet', direction: 'inbound', verdict: 'pass' };
  return { engine, host, pid, sink, passed: () => fence.metric('frames_total', where).catch(() => 0) };
}

/** The sink in a host answers a line on its stdin, which the lab closes: it gets one from a named pipe. */
async function startSink(
  context: Context,
  lab: Lab,
  host: Host,
  listen: string,
  expected: Buffer,
  numberAt: number,
): Promise<Arm['sink']> {
  const pipe = join(lab.directory(`sink-${host.name}`), 'in');
  host.exec('mkfifo', ['-m', '666', pipe]);
  const args = ['--listen', listen, '--body', expected.toString('hex'), '--seq-at', String(numberAt)];
  const program = [context.programs('udp-sink'), ...args].join(' ');
  // Open for both ways: a writer that goes is not the end of it.
  const sink = host.spawn('sh', ['-c', `exec ${program} <>${pipe}`], { uid: APP_UID });
  await sink.waitFor(/^listening$/, WAIT_MS);
  pin(sink.pid, context.cores.load);
  const ask = async (word: string) => {
    const mark = sink.mark();
    writeFileSync(pipe, `${word}\n`);
    return JSON.parse(await sink.waitFor(/^\{/, WAIT_MS, mark)) as Counts;
  };
  return { counts: () => ask('count'), begin: () => ask('new') };
}

async function startPlain(context: Context, host: Host, engine: Engine, app: string): Promise<LabProcess> {
  const listen = `${host.ipv4}:${GOSSIP_PORT}`;
  if (engine === 'c') {
    const args = ['--listen', listen, '--app', app, '--label', LABEL];
    const forwarder = host.spawn(context.programs('udp-forward'), args);
    await forwarder.waitFor(/^listening$/, WAIT_MS);
    return forwarder;
  }
  const dir = join(context.dir, `transparent-${engine}`);
  mkdirSync(dir, { recursive: true });
  const way = { listen, app, admin: '' };
  writeFileSync(join(dir, 'nginx.conf'), nginxConfig(engine === 'nginx' ? engine : 'nginx_oneway', way));
  const nginx = host.spawn('nginx', ['-p', dir, '-c', join(dir, 'nginx.conf')]);
  const deadlineMs = performance.now() + WAIT_MS;
  while (!host.exec('cat', ['/proc/net/udp']).includes(`:${GOSSIP_PORT.toString(16).toUpperCase()} `)) {
    if (performance.now() > deadlineMs) throw new Error(`${engine} did not start: ${nginx.lines().join('\n')}`);
    await sleep(SETTLE_MS);
  }
  return nginx;
}

/** Datagrams that arrived a second of the proxy's core. */
async function flood(context: Context, flooder: Host, arm: Arm, packet: Packet): Promise<number> {
  const [first, passedFirst] = [await arm.sink.begin(), await arm.passed()];
  const target = ['--target', `${arm.host.ipv4}:${GOSSIP_PORT}`, '--source', flooder.ipv4];
  const numberAt = packet.labelled.length - packet.body.length + packet.numberAt;
  const what = ['--packet', packet.labelled.toString('hex'), '--seq-at', String(numberAt), '--seconds', '60'];
  const pinned = ['-c', String(context.cores.load), context.programs('udp-load')];
  const load = flooder.spawn('taskset', [...pinned, ...target, ...what]);
  await load.waitFor(/^sending$/, WAIT_MS);
  await sleep(WARM_MS);
  const reading = async () => ({
    counts: await arm.sink.counts(),
    cpu: cpuMs([arm.pid]) + softirqMs(context.cores.proxy),
  });
  const before = await reading();
  await sleep(context.sampleMs);
  const after = await reading();
  await load.kill('SIGTERM');
  await sleep(SETTLE_MS);
  const last = await arm.sink.counts();
  checkCounts(arm.engine, first, last);
  const [arrived, counted] = [
    last.packets + last.lost - first.packets - first.lost,
    (await arm.passed()) - passedFirst,
  ];
  if (!Number.isNaN(counted) && counted !== arrived) {
    throw new Error(`${arm.engine}: it counted ${counted} datagrams as passed, the app got or lost ${arrived}`);
  }
  if (arrived === 0) throw new Error(`${arm.engine}: nothing arrived`);
  const packets = after.counts.packets + after.counts.lost - before.counts.packets - before.counts.lost;
  return packets / ((after.cpu - before.cpu) / 1_000);
}
