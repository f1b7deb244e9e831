/** Real peers in a lab's hosts: the Go programs beside this file, told what to do over a Unix socket. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Host, Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';

export const GOSSIP_PORT = 7946;
const START_TIMEOUT_MS = 20_000;
const COMMAND_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

/** Bytes that were sent or arrived. */
export interface Digest {
  readonly bytes?: number;
  readonly sha256?: string;
}

/** An answer to a command, with whatever the command tells. */
export interface Answer extends Digest {
  readonly ok: boolean;
  readonly error: string;
  readonly [field: string]: unknown;
}

/** Something that happened, as the program printed it. */
export interface PeerEvent extends Digest {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Peer {
  readonly name: string;
  readonly host: Host;
  /** What others dial: address and port, as the peer advertises them. */
  readonly endpoint: string;
  readonly process: LabProcess;
  /** Gives one command and waits for its answer; rejects when there is none in time. One at a time. */
  command(line: string, timeoutMs?: number): Promise<Answer>;
  /** Names of the members that it holds for alive or suspect, sorted. */
  members(): Promise<readonly string[]>;
  /** Events called `event` since `from` (of `process.mark()`). */
  events(event: string, from?: number): readonly PeerEvent[];
  /** Waits until `members` is exactly `names`; rejects with what it is instead. */
  waitForMembers(names: readonly string[], timeoutMs: number): Promise<void>;
}

/** Starts `program` in `host` under the host's name and waits until it takes commands. */
export async function startPeer(
  lab: Lab,
  host: Host,
  program: string,
  args: readonly string[],
  endpoint = `${host.ipv4}:${GOSSIP_PORT}`,
): Promise<Peer> {
  const path = join(lab.directory('commands'), host.name);
  const process = host.spawn(program, ['-name', host.name, '-commands', path, ...args]);
  await process.waitFor(/"event":"listening"/, START_TIMEOUT_MS);
  const command = commander(host.name, connect(path));
  const peer: Peer = {
    name: host.name,
    host,
    endpoint,
    process,
    command,
    async members() {
      const { members } = (await command('members')) as Answer & { members: readonly { name: string }[] };
      return members.map(({ name }) => name).toSorted();
    },
    events: (event, from) => eventsIn(process.lines(from)).filter((line) => line.event === event),
    waitForMembers: (names, timeoutMs) =>
      eventually(`${host.name} sees ${names.toSorted()}`, timeoutMs, async () => {
        const seen = await peer.members();
        return `${seen}` === `${names.toSorted()}` ? undefined : `members are ${seen}`;
      }),
  };
  return peer;
}

/** A peer takes one command at a time; several askers wait for their turn. */
export function inTurn(peer: Peer): Peer['command'] {
  let last: Promise<unknown> = Promise.resolve();
  return (line, timeoutMs) => {
    const mine = last.then(() => peer.command(line, timeoutMs));
    last = mine.catch(() => undefined);
    return mine;
  };
}

/** Polls `failing` until it has nothing to say; rejects with what it says last. */
export async function eventually(
  what: string,
  timeoutMs: number,
  failing: () => string | undefined | Promise<string | undefined>,
): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const why = await failing();
    if (why === undefined) return;
    if (Date.now() > deadlineMs) throw new Error(`${what}: not within ${timeoutMs} ms: ${why}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function eventsIn(lines: readonly string[]): PeerEvent[] {
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as PeerEvent);
}

function commander(name: string, socket: Socket): Peer['command'] {
  let text = '';
  let waiting: ((line: string) => void) | undefined;
  let broken = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      waiting?.(text.slice(0, end));
      text = text.slice(end + 1);
    }
  });
  socket.on('error', (error) => {
    broken = error.message;
  });
  return async (line, timeoutMs = COMMAND_TIMEOUT_MS) => {
    if (waiting !== undefined) throw new Error(`${name} is still busy`);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${name}: no answer to "${line}": ${broken}`)), timeoutMs);
        waiting = (answer) => {
          clearTimeout(timer);
          resolve(JSON.parse(answer) as Answer);
        };
        socket.write(`${line}\n`);
      });
    } finally {
      waiting = undefined;
    }
  };
}
