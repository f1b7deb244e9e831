/**
 * Many streams at once whose sides write, rest, end and reset by chance: whatever arrives is what somebody sent, from its start; what looks
 * whole is whole; and nothing stays behind.
 */
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { MESSAGE, marked } from './cases.ts';
import { makeContext, pause, type Recorded, record, seeded, startFence, startRecorder, until } from './harness.ts';
import { pushPull } from './messages.ts';

const STREAMS = 40;
const BODY_BYTES = [8, 304, 70_000, 700_000, 2_400_000];
/** Pieces are this long at most. */
const PIECE_BYTES = 400_000;
const NO_BYTES = Buffer.alloc(0);

/** One end of a connection that the fence has with somebody. */
interface Side {
  /** All that it would write, as the other side gets it. */
  readonly all: Buffer;
  readonly recorded: Recorded;
  /** Where it ended; undefined: by a reset, or not at all. */
  endedAt: number | undefined;
  /** Whether it could tell a FIN from a reset: once it has ended itself, node does not (endings.ts confirmFin). */
  tells: boolean;
}

/** Bytes that tell whose they are and where they belong, wherever one looks; half of them in a message that is held until it is whole. */
function bytesOf(id: number, random: () => number): Buffer {
  const body = Buffer.alloc(BODY_BYTES[Math.floor(random() * BODY_BYTES.length)] ?? 8);
  for (let at = 0; at < body.length; at += 8) {
    body.writeUInt32BE(id, at);
    body.writeUInt32BE(at, at + 4);
  }
  return random() < 0.5 ? pushPull(['one', 'two'], body) : Buffer.concat([MESSAGE, body]);
}

function sideOf(recorded: Recorded, all: Buffer): Side {
  const side: Side = { all, recorded, endedAt: undefined, tells: false };
  recorded.socket.on('end', () => {
    side.tells = !recorded.socket.writableEnded;
  });
  return side;
}

function written(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', resolve);
    socket.write(bytes, () => {
      socket.off('close', resolve);
      resolve();
    });
  });
}

function otherEnded(socket: Socket): Promise<void> {
  if (socket.readableEnded || socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => void socket.once('end', resolve).once('close', resolve));
}

/** Writes `label` and what the side has in pieces, and then ends, if it `waits` after the other side, or breaks off before. */
async function act(side: Side, label: Buffer, waits: boolean, random: () => number): Promise<void> {
  const { socket } = side.recorded;
  const all = Buffer.concat([label, side.all]);
  const upTo = random() < 0.35 ? Math.floor(random() * all.length) : all.length;
  for (let at = 0; at < upTo && !socket.destroyed; ) {
    const bytes = Math.min(upTo - at, 1 + Math.floor(random() ** 3 * PIECE_BYTES));
    await written(socket, all.subarray(at, at + bytes));
    at += bytes;
    if (random() > 0.15) continue;
    socket.pause();
    await pause(random() * 20);
    socket.resume();
  }
  const breaks = upTo < all.length && random() < 0.5;
  if (waits && !breaks) await otherEnded(socket);
  if (socket.destroyed) return;
  if (breaks) socket.resetAndDestroy();
  else {
    side.endedAt = upTo - label.length;
    socket.end();
  }
}

/** What is wrong with what `side` got, as far as any of `others` may have sent it. */
function wrongWith({ recorded, tells }: Side, others: readonly Side[]): string | undefined {
  const received = recorded.received();
  // The answer of the fence itself.
  if (received.includes('ringfence: ')) return undefined;
  const senders = others.filter(({ all }) => received.equals(all.subarray(0, received.length)));
  if (senders.length === 0) return `${received.length} bytes that nobody sent`;
  if (recorded.ending() !== 'fin' || !tells || received.length === 0) return undefined;
  if (senders.some(({ endedAt }) => endedAt === received.length)) return undefined;
  return `${received.length} bytes look whole, of ${senders.map(({ all, endedAt }) => `${all.length} (${endedAt})`)}`;
}

for (const [stage, seed] of [
  ['observe', 1],
  ['enforce', 2],
] as const) {
  t.test(`streams that end by chance: ${stage}`, async (t) => {
    const random = seeded(seed);
    const label = marked('own', NO_BYTES);
    const [seen, added] = stage === 'observe' ? [label, NO_BYTES] : [NO_BYTES, label];
    const acts: Promise<void>[] = [];
    const apps: Side[] = [];
    const target = await startRecorder((recorded) => {
      const side = sideOf(recorded, bytesOf(1_000 + apps.length, random));
      apps.push(side);
      acts.push(act(side, NO_BYTES, stage === 'enforce', random));
    });
    const fence = await startFence(makeContext({ stage }), target.port);
    const diallers: Side[] = [];
    for (let id = 0; id < STREAMS; id++) {
      const socket = connect({ port: fence.port, host: '127.0.0.1', allowHalfOpen: true });
      const side = sideOf(record(socket), Buffer.concat([seen, bytesOf(id, random)]));
      diallers.push(side);
      acts.push(act(side, added, stage === 'observe', random));
      if (random() < 0.3) await pause(random() * 5);
    }
    await until('all streams to end', () => fence.streams.counts().inbound === 0);
    await Promise.all(acts);
    const told = [...apps, ...diallers].filter(({ recorded, tells }) => tells && recorded.ending() === 'fin');
    t.ok(told.length > STREAMS / 4, `${told.length} ends are known to be a FIN`);
    const wrong = [...apps.map((side) => wrongWith(side, diallers)), ...diallers.map((side) => wrongWith(side, apps))];
    t.same(
      wrong.filter((what) => what !== undefined),
      [],
    );
    for (const { recorded } of diallers) recorded.socket.destroy();
    await fence.close();
    await target.close();
  });
}
