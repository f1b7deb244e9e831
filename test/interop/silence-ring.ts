/**
 * The ring of the adoption proof with Alertmanagers: a pair on `one` and `two`, which changes from Debian's 0.25 (it predates labels) to
 * the current release with a label of its own, and on `native` a strict natively labelled memberlist member behind a fence, which
 * remembers what it hears of silences.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fence } from '../lab/fence.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { ALERTMANAGER_PORT, type Alertmanager, startAlertmanager } from './alertmanagers.ts';
import type { Arrivals, Watched } from './arrivals.ts';
import { buildAlertmanager, buildMember } from './build.ts';
import { eventually, inTurn, type Peer, startPeer } from './peers.ts';

export const LABEL = 'alerts.prod';
export const MEMBER_NAMES = ['one', 'two', 'native'] as const;
export type MemberName = (typeof MEMBER_NAMES)[number];

/** What the silences' comments look like, so that the Go member finds them in the bytes that it gets. */
const WORD = 'silence-[0-9]{5}';
/** Comments of every so many silences are too long for a gossip packet, so that they travel by a stream. */
const LONG_EVERY = 7;
const PADDING = ' padding'.repeat(150);
const STOP_TIMEOUT_MS = 15_000;
/** Exchanges that began through the fence end meanwhile. */
const IN_FLIGHT_MS = 500;
const JOIN_TIMEOUT_MS = 20_000;

/** One app of the ring; another process, or another program, after a restart. */
export interface RingApp {
  silence?(comment: string): Promise<void>;
  words(): Promise<readonly string[]>;
  view(): Promise<readonly string[]>;
  /** Ends it as a service manager does; it leaves the ring. */
  stop(): Promise<void>;
  lines(): readonly string[];
}

const wordOf = (comment: string) => comment.split(' ', 1)[0] ?? '';
const endpointOf = (host: Host) => `${host.ipv4}:${ALERTMANAGER_PORT}`;

/** Debian's 0.25: no label, and no way to set one. */
export async function startOld(lab: Lab, host: Host, peers: readonly Host[]): Promise<RingApp> {
  const old: Alertmanager = await startAlertmanager(lab, host, 'ipv4', peers.map(endpointOf));
  return {
    async silence(comment) {
      await old.silence('Proof', comment);
    },
    words: async () => (await old.silences()).map(wordOf),
    view: old.members,
    lines: () => old.process.lines(),
    async stop() {
      process.kill(old.process.pid, 'SIGTERM');
      await old.process.exited(STOP_TIMEOUT_MS);
    },
  };
}

/** The current Alertmanager's cluster with its own label. */
export async function startNew(lab: Lab, host: Host, peers: readonly Host[]): Promise<RingApp> {
  const args = ['-bind', endpointOf(host), '-label', LABEL, '-join', peers.map(endpointOf).join()];
  const peer = await startPeer(lab, host, await buildAlertmanager(), args, endpointOf(host));
  const command = inTurn(peer);
  return {
    async silence(comment) {
      const { ok, error } = await command(`silence Proof ${comment}`);
      if (!ok) throw new Error(error);
    },
    words: async () => ((await command('silences'))['silences'] as readonly string[]).map(wordOf),
    view: async () => addresses(await command('members'), ''),
    ...lifeOf(peer, command),
  };
}

/** A memberlist v0.6.0 member that sends labelled frames and takes no others. */
export async function startNative(lab: Lab, host: Host, peers: readonly Host[]): Promise<RingApp> {
  const endpoint = endpointOf(host);
  const port = String(ALERTMANAGER_PORT);
  const args = ['-bind', host.ipv4, '-port', port, '-advertise', endpoint, '-label', LABEL, '-fast', '-hear', WORD];
  const peer = await startPeer(lab, host, await buildMember('v0.6.0'), args, endpoint);
  const command = inTurn(peer);
  for (const other of peers) await command(`join ${endpointOf(other)}`);
  return {
    words: async () => (await command('heard'))['words'] as readonly string[],
    view: async () => addresses(await command('members'), `:${ALERTMANAGER_PORT}`),
    ...lifeOf(peer, command),
  };
}

function addresses(answer: Readonly<Record<string, unknown>>, port: string): readonly string[] {
  return (answer['members'] as readonly { address: string }[]).map(({ address }) => `${address}${port}`);
}

function lifeOf(peer: Peer, command: Peer['command']): Pick<RingApp, 'stop' | 'lines'> {
  return {
    lines: () => peer.process.lines(),
    async stop() {
      // memberlist's members say goodbye by command; Alertmanager leaves as it ends.
      await command('leave');
      await command('quit');
      await peer.process.exited(STOP_TIMEOUT_MS);
    },
  };
}

/** The three places of the ring and what runs there now. */
export interface SilenceRing {
  readonly hosts: Readonly<Record<MemberName, Host>>;
  readonly apps: Record<MemberName, RingApp>;
  readonly watched: readonly Watched[];
  /** Who else there is, seen from `name`. */
  others(name: MemberName): readonly Host[];
  /** Resolves when everyone sees everyone. */
  complete(): Promise<void>;
}

export async function startSilenceRing(lab: Lab, hosts: SilenceRing['hosts']): Promise<SilenceRing> {
  const others = (name: MemberName) => MEMBER_NAMES.filter((each) => each !== name).map((each) => hosts[each]);
  const one = await startOld(lab, hosts.one, []);
  const apps = {
    one,
    two: await startOld(lab, hosts.two, [hosts.one]),
    native: await startNative(lab, hosts.native, others('native')),
  };
  const ring: SilenceRing = {
    hosts,
    apps,
    others,
    watched: MEMBER_NAMES.map((name) => ({
      name,
      id: endpointOf(hosts[name]),
      words: () => ring.apps[name].words(),
      view: () => ring.apps[name].view(),
    })),
    complete: () =>
      eventually('everyone sees everyone', JOIN_TIMEOUT_MS, async () => {
        for (const name of MEMBER_NAMES) {
          const view = await ring.apps[name].view();
          const gone = MEMBER_NAMES.filter((other) => !view.includes(endpointOf(hosts[other])));
          if (gone.length > 0) return `${name} does not see ${gone}, only ${view}`;
        }
        return undefined;
      }),
  };
  return ring;
}

export interface Poster {
  stop(): Promise<void>;
  /** Posts that an instance did not take, so that the other one got them. */
  retries(): number;
}

/** Posts a silence every second, to `one` and `two` in turn; what an instance does not take, the other gets, until one takes it. */
export function startPoster(ring: SilenceRing, arrivals: Arrivals): Poster {
  let running = true;
  let retries = 0;
  const post = async (number: number) => {
    const word = `silence-${String(number).padStart(5, '0')}`;
    const comment = number % LONG_EVERY === 0 ? word + PADDING : word;
    for (let turn = number; running; turn++) {
      const name = turn % 2 === 0 ? 'one' : 'two';
      try {
        if (!arrivals.settled(name)) throw new Error('it restarts');
        await ring.apps[name].silence?.(comment);
      } catch {
        retries++;
        await sleep(100);
        continue;
      }
      arrivals.written(word);
      return;
    }
  };
  const loop = async () => {
    const startMs = Date.now();
    for (let number = 0; running; number++) {
      await sleep(Math.max(0, startMs + number * 1_000 - Date.now()));
      await post(number);
    }
  };
  const done = loop();
  return {
    retries: () => retries,
    async stop() {
      running = false;
      await done;
    },
  };
}

/** Ends a fence whose app needs it no longer: first the rules, so that nothing waits for a fence that is gone. */
export async function removeFence(fence: Fence): Promise<void> {
  const { ok, output } = await fence.run('intercept', '-c', fence.configFile, '--remove');
  if (!ok) throw new Error(`the rules stay: ${output}`);
  await sleep(IN_FLIGHT_MS);
  await fence.stop();
}
