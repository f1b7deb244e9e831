/** Debian's serf agents in a lab's hosts. */
import type { Test } from 'tap';
import type { Host, Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';

export const SERF_PORT = 7946;
const MEMBERS_POLL_MS = 300;

export type Family = 'ipv4' | 'ipv6';

export interface Agent {
  readonly name: string;
  readonly host: Host;
  readonly address: string;
  /** `ip:port`, as serf takes it. */
  readonly endpoint: string;
  process(): LabProcess;
  /** Starts the agent again after it left or was killed. */
  start(): Promise<void>;
  join(other: Agent): Promise<{ ok: boolean; output: string }>;
  /** Name to status, as `serf members` says. */
  members(): Promise<Readonly<Record<string, string>>>;
  /** Waits until `members` is exactly `expected`; rejects with what it is instead. */
  waitForMembers(expected: Readonly<Record<string, string>>, timeoutMs: number): Promise<void>;
  /** Log lines since `from` that tell of a suspicion or a failure. */
  alarms(from?: number): readonly string[];
  leave(): Promise<void>;
}

/** Starts an agent called as its host is, bound to the host's address, and waits until it runs. `more`: of its configuration file. */
export async function startAgent(lab: Lab, host: Host, family: Family, more: object = {}): Promise<Agent> {
  const address = host[family];
  const endpoint = family === 'ipv6' ? `[${address}]:${SERF_PORT}` : `${address}:${SERF_PORT}`;
  // Reconnecting to failed members happens every 30 s by default, at random.
  const config = lab.file(`${host.name}.json`, JSON.stringify({ reconnect_interval: '3s', ...more }));
  const launch = async () => {
    const args = ['agent', '-node', host.name, '-bind', endpoint, '-config-file', config, '-log-level', 'debug'];
    const started = host.spawn('serf', [...args, '-rpc-addr', '127.0.0.1:7373']);
    await started.waitFor(/Serf agent running/, 20_000);
    return started;
  };
  let current = await launch();
  const agent: Agent = {
    name: host.name,
    host,
    address,
    endpoint,
    process: () => current,
    async start() {
      current = await launch();
    },
    join: (other) => host.run('serf', ['join', other.endpoint], 30_000),
    async members() {
      const { ok, output } = await host.run('serf', ['members', '-format', 'json']);
      if (!ok) throw new Error(`serf members on ${host.name}: ${output}`);
      const { members } = JSON.parse(output) as { members: readonly { name: string; status: string }[] };
      return Object.fromEntries(members.map(({ name, status }) => [name, status]));
    },
    waitForMembers: (expected, timeoutMs) => waitForMembers(agent, expected, timeoutMs),
    alarms: (from) =>
      current
        .lines(from)
        .filter((line) => /suspect|EventMemberFailed|refuting|no acks|probes failed|\[ERR\]/i.test(line)),
    async leave() {
      const { ok, output } = await host.run('serf', ['leave'], 30_000);
      if (!ok) throw new Error(`serf leave on ${host.name}: ${output}`);
      await current.exited(20_000);
    },
  };
  return agent;
}

async function waitForMembers(agent: Agent, expected: Readonly<Record<string, string>>, timeoutMs: number) {
  const sorted = (members: Readonly<Record<string, string>>) => JSON.stringify(Object.entries(members).sort());
  const deadlineMs = Date.now() + timeoutMs;
  let seen = '';
  do {
    seen = sorted(await agent.members());
    if (seen === sorted(expected)) return;
    await new Promise((resolve) => setTimeout(resolve, MEMBERS_POLL_MS));
  } while (Date.now() < deadlineMs);
  const log = agent.process().lines().slice(-15).join('\n');
  throw new Error(`${agent.name}: after ${timeoutMs} ms members are ${seen}, not ${sorted(expected)}\n${log}`);
}

/** Every agent of the ring alive in everyone's eyes. */
export function allAlive(ring: readonly Agent[]): Readonly<Record<string, string>> {
  return Object.fromEntries(ring.map(({ name }) => [name, 'alive']));
}

/** Starts agents on `hosts` and joins them to the first; all see each other when it resolves. */
export async function startRing(lab: Lab, hosts: readonly Host[], family: Family): Promise<readonly Agent[]> {
  const ring = await Promise.all(hosts.map((host) => startAgent(lab, host, family)));
  const [first, ...others] = ring;
  for (const other of others) {
    const { ok, output } = await other.join(first as Agent);
    if (!ok) throw new Error(`${other.name} cannot join its own ring: ${output}`);
  }
  await Promise.all(ring.map((agent) => agent.waitForMembers(allAlive(ring), 20_000)));
  return ring;
}

/** Asserts that every member of `ring` sees exactly `ring`, alive, now. */
export async function assertRing(t: Test, ring: readonly Agent[], message: string): Promise<void> {
  for (const agent of ring) t.strictSame(await agent.members(), allAlive(ring), `${message}: as ${agent.name} sees it`);
}

/** What a memberlist that predates labels logs of a fence's labelled ping: 244 is an unknown type to it, and it drops the frame. */
const LABELLED_PING = /msg ?type \(244\)/i;

/** Asserts that no agent of `rings` suspected anyone since its mark. Fences ask the `bare` ones by labelled pings, which they drop and log. */
export function assertQuiet(
  t: Test,
  agents: readonly Agent[],
  marks: ReadonlyMap<string, number>,
  message: string,
  bare: readonly string[] = [],
) {
  for (const agent of agents) {
    const alarms = agent.alarms(marks.get(agent.name));
    const heard = bare.includes(agent.name) ? alarms.filter((line) => !LABELLED_PING.test(line)) : alarms;
    t.strictSame(heard, [], `${message}: ${agent.name}'s log`);
  }
}
