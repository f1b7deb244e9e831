/** Fences as processes on loopback, for the tests of stages, reloads and state files. */
import { createSocket } from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type t from 'tap';
import { encodeLabelHeader } from '../../src/wire/label.ts';
import { encodePushPull, NODE_STATE } from '../../src/wire/push-pull.ts';
import { type EngineName, withEngine } from '../lab/engines.ts';
import { eventually, freePort, opened, type Running, start } from './fence-process.ts';

export type Test = Pick<typeof t, 'testdir' | 'teardown'>;

export const LABEL = Buffer.from('blue');
export const OWN = Buffer.from(encodeLabelHeader(LABEL));
/** A ping's type and an empty map: what an echoing app gives back. */
export const PING = Buffer.from([0, 0x80]);

export interface Place {
  readonly dir: string;
  readonly file: string;
  /** What carries its fences. */
  readonly engine: EngineName;
  readonly address: string;
  readonly port: number;
  readonly appPort: number;
  /** URL of the admin API. */
  readonly admin: string;
  /** Writes the configuration: `fence` goes into the fence, `more` beside it; both JSON. */
  write(fence?: object, more?: object): void;
  text(fence?: object, more?: object): string;
}

/** Free ports and a directory; nothing runs yet. */
export async function place(t: Test, engine: EngineName, address = '127.0.0.1', adminPort?: number): Promise<Place> {
  const [port, appPort, own] = [await freePort(), await freePort(), await freePort()];
  const dir = t.testdir({});
  const file = join(dir, 'fence.yaml');
  const admin = `${address}:${adminPort ?? own}`;
  const text = (fence: object = {}, more: object = {}) => {
    const one = {
      name: 'traces',
      cluster: LABEL.toString(),
      listen: `${address}:${port}`,
      app: { address: `127.0.0.1:${appPort}` },
      admit: { cidrs: ['127.0.0.0/8'] },
      ...fence,
    };
    return JSON.stringify(withEngine({ fences: [one], admin: { address: admin }, ...more }, engine));
  };
  const write = (fence: object = {}, more: object = {}) => writeFileSync(file, text(fence, more));
  return { dir, file, engine, address, port, appPort, admin: `http://${admin}`, write, text };
}

/** Starts the fence of `where`; it is killed at the end of the test. */
export async function run(t: Test, where: Place, env: Record<string, string> = {}): Promise<Running> {
  const fence = start(['run', '-c', where.file], env);
  t.teardown(() => fence.child.kill('SIGKILL'));
  await eventually('the admin API answers', async () => (await fetch(`${where.admin}/healthz`)).ok);
  await opened(fence, where.engine);
  return fence;
}

export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly msg: string;
}

export function linesOf(fence: Running): readonly LogLine[] {
  return fence
    .output()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LogLine);
}

/** Waits for the `count`th log line that matches. */
export function said(fence: Running, pattern: RegExp, count = 1): Promise<LogLine> {
  return eventually(`${count} lines match ${pattern}`, async () => {
    const found = linesOf(fence).filter(({ msg }) => pattern.test(msg));
    return found.length >= count ? found[count - 1] : undefined;
  });
}

export async function get(where: Place, path: string): Promise<unknown> {
  return (await fetch(`${where.admin}${path}`)).json();
}

export interface BriefAdoption {
  readonly stage: string;
  readonly origin: string;
  readonly starting: boolean;
  readonly waitsFor: string | null;
}

export async function adoption(where: Place): Promise<BriefAdoption> {
  const { fences } = (await get(where, '/api/v1/adoption?brief=true')) as { fences: readonly BriefAdoption[] };
  const [only] = fences;
  if (only === undefined) throw new Error('the fence is not there');
  return only;
}

/** One series of the metrics page; undefined when it is not there. */
export async function metric(where: Place, series: string): Promise<number | undefined> {
  const page = await (await fetch(`${where.admin}/metrics`)).text();
  const line = page.split('\n').find((each) => each.startsWith(`ringfence_${series} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

/** The answer to a datagram from `from`, undefined after `waitMs` without one. */
export function ask(where: Place, packet: Buffer, from = '127.0.0.1', waitMs = 500): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const end = (answer?: Buffer) => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(end, waitMs);
    socket.on('message', end);
    socket.bind(0, from, () => socket.send(packet, where.port, where.address));
  });
}

/** A member table with our own app alone, as a periodic push/pull, with the label unless told; resolves with what was answered. */
export function pushPull(where: Place, from = '127.0.0.1', label: Buffer = OWN): Promise<Buffer> {
  const app = {
    Name: 'app',
    Addr: Uint8Array.from(where.address.split('.').map(Number)),
    Port: where.port,
    Meta: new Uint8Array(0),
    Incarnation: 1,
    State: NODE_STATE.alive,
    Vsn: Uint8Array.of(1, 5, 2, 2, 5, 4),
  };
  const message = encodePushPull({ join: false, nodes: [app], userState: new Uint8Array(0) });
  return new Promise((resolve) => {
    const socket = connect({ port: where.port, host: where.address, localAddress: from }, () =>
      socket.end(Buffer.concat([label, message])),
    );
    const got: Buffer[] = [];
    socket.on('data', (chunk) => got.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(got)));
    socket.setTimeout(5_000, () => socket.destroy());
  });
}
