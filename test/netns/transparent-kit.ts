/** What the tests of the transparent path share: stand-in members (transparent-app.cjs), a fence's configuration, counters. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Fence, fetchIn } from '../lab/fence.ts';
import { createLab, type Host, type HostOptions, type Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';

const APP = readFileSync(join(import.meta.dirname, 'transparent-app.cjs'), 'utf8');
const APP_UID = 65_534;
const WAIT_MS = 5_000;
/** How long a line that must not come is waited for, ms. */
const SILENCE_MS = 400;

export const LABEL = 'one.test';
/** Label headers as hex. */
export const OWN = `f408${Buffer.from(LABEL).toString('hex')}`;
export const FOREIGN = `f403${Buffer.from('two').toString('hex')}`;
export const FAMILIES = ['ipv4', 'ipv6'] as const;

export interface Answer {
  readonly error?: string;
  /** MD5 of what was sent, and of what came back. */
  readonly md5: string;
  readonly answer?: string;
  readonly bytes: number;
  readonly text?: string;
}

export type More = Readonly<Record<string, string>>;

export interface Member {
  readonly host: Host;
  readonly app: LabProcess;
  /** Sends a datagram of `prefix` (hex, default one byte) and `size` bytes from the gossip port. */
  udp(to: string, size: number, more?: More): Promise<Answer>;
  /** Dials, sends the same, half-closes, reads the answer. */
  tcp(to: string, size: number, more?: More): Promise<Answer>;
  /** The line that the app prints because of `action`; rejects after five seconds. */
  gets(pattern: RegExp, action: () => Promise<unknown>): Promise<string>;
  /** The lines that the app prints during `action` and shortly after. */
  during(action: () => Promise<unknown>): Promise<readonly string[]>;
}

/** The first eight hex digits of the MD5 of what the app sends for `prefix` and `size`. */
export function digest(prefix: string, size: number): string {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8)) & 0xff;
  return createHash('md5').update(Buffer.from(prefix, 'hex')).update(bytes).digest('hex').slice(0, 8);
}

export async function startMember(host: Host, port = 7946, controlPort = 9100, uid = APP_UID): Promise<Member> {
  const env = { APP_PORT: String(port), CONTROL_PORT: String(controlPort) };
  const app = host.spawn(process.execPath, ['-e', APP], { uid, env });
  await app.waitFor(/^up$/, 10_000);
  const ask = async (path: string, to: string, size: number, more: More = {}) => {
    const query = new URLSearchParams({ to, size: String(size), ...more });
    return JSON.parse(await fetchIn(host, `http://127.0.0.1:${controlPort}${path}?${query}`)) as Answer;
  };
  return {
    host,
    app,
    udp: (to, size, more) => ask('/udp', to, size, more),
    tcp: (to, size, more) => ask('/tcp', to, size, more),
    async gets(pattern, action) {
      const mark = app.mark();
      await action();
      return app.waitFor(pattern, WAIT_MS, mark);
    },
    async during(action) {
      const mark = app.mark();
      await action();
      await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
      return app.lines(mark);
    },
  };
}

/** A configuration with one transparent fence; `more` goes into its `transparent`. */
export function config(stage: string, more: object = {}): object {
  return {
    fences: [
      {
        name: 'one',
        cluster: LABEL,
        stage,
        admit: { cidrs: ['10.77.0.0/24', 'fd77::/64'] },
        transparent: { port: 7946, peerPorts: [7950], ...more },
      },
    ],
  };
}

export interface Pair {
  readonly lab: Lab;
  readonly ours: Member;
  readonly bare: Member;
  readonly fence: Fence;
}

/** A lab with a fenced host and a bare one, and their apps; closed with the test. */
export async function pair(t: Test, name: string, settings: object, link: HostOptions = {}): Promise<Pair> {
  const lab = createLab({ name });
  t.teardown(() => lab.close());
  const [ours, bare] = await Promise.all([
    startMember(lab.addHost('ours', link)),
    startMember(lab.addHost('bare', link)),
  ]);
  const fence = await ours.host.fence(settings, { until: 'ready' });
  return { lab, ours, bare, fence };
}

/** Packets that a counter of the rules has seen. */
export function counter(host: Host, name: 'bypass_in' | 'bypass_out'): number {
  const listing = host.exec('nft', ['list', 'counter', 'inet', 'ringfence', name]);
  return Number(/packets (\d+)/.exec(listing)?.[1]);
}

/** States of the host's TCP connections that are about to close but wait for the other side: FIN_WAIT1, LAST_ACK, CLOSING. */
export function unfinished(host: Host): readonly string[] {
  const tables = host.exec('cat', ['/proc/net/tcp', '/proc/net/tcp6']);
  return tables.split('\n').filter((line) => /^\s*\d+: \S+ \S+ (04|09|0B) /.test(line));
}

/** The node binary and the entry that a fence was started with. */
export function commandOf(pid: number): readonly [string, string] {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  const at = words.findIndex((word) => word.endsWith('ringfence.js'));
  return [words[at - 1] ?? '', words[at] ?? ''];
}
