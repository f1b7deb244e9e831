/** The stand of the forwarding benchmark: a fence of each kind in a host of its own, an app that reads nothing, and a host that floods. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { encodeCompound } from '../../../src/wire/compound.ts';
import { encodeLabelHeader } from '../../../src/wire/label.ts';
import { encodeMessage } from '../../../src/wire/messages.ts';
import type { Fence } from '../../lab/fence.ts';
import { createLab, type Host, type Lab } from '../../lab/lab.ts';

export const PATHS = ['listen', 'transparent'] as const;
export type PathKind = (typeof PATHS)[number];
/** Inspection and shield as they are set. */
export const VARIANTS = {
  plain: { shield: false, limits: { inspectBytesPerSecond: 0 } },
  inspected: { shield: false },
  shielded: { shield: true },
} as const;
export type Variant = keyof typeof VARIANTS;
export const VARIANT_NAMES = Object.keys(VARIANTS) as Variant[];

const GOSSIP_PORT = 7946;
const APP_PORT = 7947;
const CLUSTER = 'bench';
const MEMBERS = 50;
const APP = `const d = require('node:dgram').createSocket('udp4'); d.bind(Number(process.env.APP_PORT), () => process.stdout.write('up\\n'));
require('node:net').createServer((s) => s.resume()).listen(Number(process.env.APP_PORT));`;
const FLOOD = readFileSync(join(import.meta.dirname, 'flood.cjs'), 'utf8');
/** An app's own user, whose traffic the rules catch. */
const APP_UID = 65_534;

export interface Sample {
  /** Frames forwarded for each second of the flood, and for each second that the forwarding thread had a core. */
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** The part of the flood's time that the forwarding thread ran or waited for a core: near 1 means that it was the bottleneck. */
  readonly busy: number;
  readonly sentPerSecond: number;
  readonly skipped: number;
}

export interface Stand {
  measure(path: PathKind, variant: Variant, floodMs: number): Promise<Sample>;
  close(): Promise<void>;
}

/** Gossip as a ring of 50 members sends it: a ping with two pieces of news, under the own label. About 330 bytes. */
function gossip(): string {
  const header = encodeLabelHeader(Buffer.from(CLUSTER));
  const Vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
  const packets = Array.from({ length: MEMBERS }, (_, i) => {
    const alive = (n: number) => {
      const Addr = Uint8Array.of(10, 77, 1, n % MEMBERS);
      return encodeMessage({
        type: 'alive',
        Incarnation: 1,
        Node: `member-${n % MEMBERS}`,
        Addr,
        Port: 7946,
        Meta: new Uint8Array(16),
        Vsn,
      });
    };
    const SourceAddr = Uint8Array.of(10, 77, 1, i);
    const ping = encodeMessage({
      type: 'ping',
      SeqNo: i,
      Node: 'app',
      SourceAddr,
      SourcePort: 7946,
      SourceNode: `member-${i}`,
    });
    return Buffer.concat([header, encodeCompound([ping, alive(i), alive(i + 1)])]).toString('hex');
  });
  return packets.join(',');
}

export async function buildStand(paths: readonly PathKind[], variants: readonly Variant[]): Promise<Stand> {
  const lab = createLab({ name: 'bench' });
  const flooder = lab.addHost('flood');
  const fences = new Map<string, { host: Host; fence: Fence }>();
  for (const path of paths) {
    for (const variant of variants) fences.set(`${path} ${variant}`, await startFenced(lab, path, variant));
  }
  const packets = gossip();
  return {
    async measure(path, variant, floodMs) {
      const at = fences.get(`${path} ${variant}`);
      if (at === undefined) throw new Error(`the stand has no ${path} ${variant}`);
      return measure(at, flooder, packets, floodMs);
    },
    close: () => lab.close(),
  };
}

async function startFenced(lab: Lab, path: PathKind, variant: Variant): Promise<{ host: Host; fence: Fence }> {
  const host = lab.addHost(`${path.slice(0, 6)}-${variant.slice(0, 4)}`);
  const appPort = path === 'listen' ? APP_PORT : GOSSIP_PORT;
  const app = host.spawn(process.execPath, ['-e', APP], { uid: APP_UID, env: { APP_PORT: String(appPort) } });
  await app.waitFor(/^up$/, 10_000);
  const where =
    path === 'listen'
      ? { listen: `${host.ipv4}:${GOSSIP_PORT}`, app: { address: `${host.ipv4}:${APP_PORT}` } }
      : { transparent: {} };
  const fence = { name: 'bench', cluster: CLUSTER, stage: 'accept', admit: { cidrs: ['10.0.0.0/8'] }, ...where };
  const running = await host.fence({ fences: [{ ...fence, ...VARIANTS[variant] }] }, { until: 'ready' });
  return { host, fence: running };
}

async function measure(
  { host, fence }: { host: Host; fence: Fence },
  flooder: Host,
  packets: string,
  floodMs: number,
): Promise<Sample> {
  const passed = () => fence.metric('frames_total', { kind: 'packet', direction: 'inbound', verdict: 'pass' });
  const skipped = () => fence.metric('inspection_skipped_total').catch(() => 0);
  const [passedBefore, skippedBefore] = [await passed(), await skipped()];
  const env = {
    TARGET: host.ipv4,
    PORT: String(GOSSIP_PORT),
    FLOOD_MS: String(floodMs),
    PACKETS: packets,
    KOFFI: createRequire(import.meta.url).resolve('koffi'),
  };
  const flood = flooder.spawn(process.execPath, ['-e', FLOOD], { env });
  await flood.waitFor(/^flooding$/, 10_000);
  const { pid } = fence.process();
  const [startMs, cpuBefore] = [performance.now(), threadCpuMs(pid)];
  const sent = Number((await flood.waitFor(/^sent /, floodMs + 10_000)).slice(5));
  const [endMs, cpuAfter] = [performance.now(), threadCpuMs(pid)];
  // What is in the sockets' buffers still passes.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const frames = (await passed()) - passedBefore;
  // The busiest thread is the one that forwards: the packet worker, or in listen mode the main thread.
  const threads = [...cpuAfter].map(([thread, [ranMs, waitedMs]]) => {
    const [ranBeforeMs, waitedBeforeMs] = cpuBefore.get(thread) ?? [0, 0];
    return { ranMs: ranMs - ranBeforeMs, waitedMs: waitedMs - waitedBeforeMs };
  });
  const { ranMs, waitedMs } = threads.reduce((most, thread) => (thread.ranMs > most.ranMs ? thread : most));
  return {
    perSecond: frames / ((endMs - startMs) / 1_000),
    perCpuSecond: frames / (ranMs / 1_000),
    busy: (ranMs + waitedMs) / (endMs - startMs),
    sentPerSecond: sent / ((endMs - startMs) / 1_000),
    skipped: (await skipped()) - skippedBefore,
  };
}

/** How long each thread ran so far, and how long it waited for a core, ms (Linux schedstat). */
function threadCpuMs(pid: number): Map<string, readonly [number, number]> {
  const at = `/proc/${pid}/task`;
  return new Map(
    readdirSync(at).map((thread) => {
      const [ran = '', waited = ''] = readFileSync(`${at}/${thread}/schedstat`, 'utf8').split(' ');
      return [thread, [Number(ran) / 1e6, Number(waited) / 1e6]];
    }),
  );
}
