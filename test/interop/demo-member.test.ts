/** The embedded member in one ring with stock memberlist members: default LAN configuration, compression on. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { type EmbeddedMember, startMember } from '../../src/demo/member.ts';
import { LAN_TIMING } from '../../src/demo/settings.ts';
import type { TableEvent } from '../../src/demo/table.ts';
import { createBareTransport } from '../../src/demo/transport.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { requireTools } from '../lab/tools.ts';
import { buildMember, type MemberlistVersion } from './build.ts';

/** Longer than two LAN suspicion timeouts of so small a ring (4 s each): who is going to be suspected has been. */
const STAY_MS = 12_000;

interface Line {
  readonly event: string;
  readonly name?: string;
  readonly members?: readonly { readonly name: string }[];
}

/** One Go member, its JSON lines as they come. */
class GoMember {
  readonly lines: Line[] = [];
  readonly log: string[] = [];
  readonly #child: ChildProcessWithoutNullStreams;

  constructor(binary: string, args: readonly string[]) {
    this.#child = spawn(binary, args);
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.lines.push(JSON.parse(line) as Line));
    createInterface({ input: this.#child.stderr }).on('line', (line) => this.log.push(line));
    this.#child.stdin.on('error', () => undefined);
  }

  command(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async ask(command: string): Promise<Line> {
    const from = this.lines.length;
    this.command(command);
    return this.line((line) => line.event === 'done', 10_000, from);
  }

  async line(wanted: (line: Line) => boolean, timeoutMs: number, from = 0): Promise<Line> {
    await until(
      () => this.lines.slice(from).some(wanted),
      timeoutMs,
      () => `${JSON.stringify(this.lines)}\n${this.log.join('\n')}`,
    );
    return this.lines.slice(from).find(wanted) as Line;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGKILL');
    await closed;
  }
}

async function until(condition: () => boolean, timeoutMs: number, why: () => string): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${why()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const names = (line: Line) => (line.members ?? []).map(({ name }) => name).sort();
const living = (member: EmbeddedMember) =>
  member
    .members()
    .filter(({ state }) => state === 'alive')
    .map(({ name }) => name)
    .sort();

function startEmbedded(name: string, address: string, events: TableEvent[]): Promise<EmbeddedMember> {
  const advertise = { address, port: 7946 };
  return startMember(
    { name, advertise, timing: { ...LAN_TIMING, pushPullIntervalMs: 2_000 } },
    (arrivals) => createBareTransport(advertise, arrivals),
    (event) => events.push(event),
  );
}

/** The newest release, and the last one that predates labels; `net` keeps their addresses apart. */
const RELEASES: readonly { version: MemberlistVersion; net: string }[] = [
  { version: 'v0.6.0', net: '127.0.91' },
  { version: 'v0.2.2', net: '127.0.92' },
];

async function livesTogether(t: Test, ours: EmbeddedMember, events: TableEvent[], members: GoMember[]): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, STAY_MS));
  t.strictSame(living(ours), ['go-0', 'go-1', 'ours-0'], 'we see everyone alive');
  const joined = ({ kind }: TableEvent) => kind === 'joined';
  t.strictSame(events.map(joined), [true, true], 'and nothing else happened to us');
  for (const member of members) {
    t.strictSame(names(await member.ask('members')), ['go-0', 'go-1', 'ours-0'], 'they see everyone alive');
    const suspicions = member.lines.filter(({ event }) => event === 'suspect');
    const complaints = member.log.filter((line) => /\[(ERR|WARN)\]/.test(line));
    t.strictSame([suspicions, complaints], [[], []], 'they suspect nobody, and complain of nothing');
  }
}

/** Somebody tells `go` that we are suspect: it believes that until it hears our refutation. */
async function refutes(t: Test, go: GoMember, ours: EmbeddedMember, events: TableEvent[], from: string): Promise<void> {
  const incarnation = ours.members().find(({ name }) => name === ours.name)?.incarnation ?? 0;
  const lie = encodeMessage({ type: 'suspect', Node: ours.name, Incarnation: incarnation, From: 'liar' });
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  socket.bind(0, from, () => socket.send(lie, 7946, from.replace(/\d+$/, '1')));
  const isRefuted = ({ kind }: TableEvent) => kind === 'refuted';
  await until(
    () => events.some(isRefuted),
    5_000,
    () => JSON.stringify(events),
  );
  // Without a new incarnation the suspicion would end in death after 4 s.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  t.ok(names(await go.ask('members')).includes(ours.name), 'our refutation is believed');
  t.notOk(
    go.lines.some(({ event, name }) => event === 'leave' && name === ours.name),
    'we were never dead',
  );
}

t.jobs = RELEASES.length;
for (const { version, net } of RELEASES) {
  t.test(`one ring with memberlist ${version}`, { skip: requireTools(['go']), buffered: true }, async (t) => {
    const binary = await buildMember(version);
    const events: TableEvent[] = [];
    const go = new GoMember(binary, ['-name', 'go-0', '-bind', `${net}.1`, '-fast']);
    t.teardown(() => go.kill());
    await go.line(({ event }) => event === 'ready', 10_000);
    const ours = await startEmbedded('ours-0', `${net}.2`, events);
    t.teardown(() => ours.stop());

    t.equal(await ours.join({ address: `${net}.1`, port: 7946 }), 1, 'we join it: its table is itself');
    await go.line(({ event, name }) => event === 'join' && name === 'ours-0', 5_000);
    const second = new GoMember(binary, ['-name', 'go-1', '-bind', `${net}.3`, '-fast', '-join', `${net}.2:7946`]);
    t.teardown(() => second.kill());
    t.match(await second.line(({ event }) => event === 'joined', 10_000), { count: 1, error: '' }, 'it joins us');
    await until(
      () => living(ours).length === 3,
      5_000,
      () => living(ours).join(),
    );
    await livesTogether(t, ours, events, [go, second]);
    t.match(await go.ask('ping ours-0'), { ok: true }, 'our ack is good');
    await refutes(t, go, ours, events, `${net}.9`);

    await second.kill();
    await until(
      () => events.some(({ kind, name }) => kind === 'died' && name === 'go-1'),
      30_000,
      () => JSON.stringify(events),
    );
    t.pass('a killed member dies in our list');
    await go.line(({ event, name }) => event === 'leave' && name === 'go-1', 30_000);

    const from = go.lines.length;
    await ours.leave(5_000);
    await go.line(({ event, name }) => event === 'leave' && name === 'ours-0', 5_000, from);
    t.strictSame(names(await go.ask('members')), ['go-0'], 'a goodbye is heard');
  });
}
