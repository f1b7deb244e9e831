/** A loop of the engine inside the test's process: turned between node's own events, so that node's sockets run beside it. */
import type { Test as Tap } from 'tap';
import { acceptStreams, listenStreams } from '../../../src/datapath/linux/accept-loop.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { rawDialler } from '../../../src/datapath/linux/raw-dial.ts';
import { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import type { RawSocket } from '../../../src/datapath/linux/raw-socket.ts';
import { loadSyscalls, type Syscalls } from '../../../src/datapath/linux/syscalls.ts';
import { createStreams } from '../../../src/datapath/streams.ts';
import { earsOf } from '../ears.ts';
import { pause, type StreamEngine, useEngine } from '../harness.ts';

/** A wait of the loop, ms: node's events come late by so much at most. */
const WAIT_MS = 1;

export interface TurnedLoop {
  readonly calls: Syscalls;
  readonly loop: Loop;
  readonly io: RawIo;
  /** Connections that raw listeners took. */
  accepted: number;
  /** Stops turning and closes it. */
  close(): void;
}

/** Turns the loop until it is closed. What a listener of it throws fails the process, as it would in the engine. */
export async function turnedLoop(): Promise<TurnedLoop> {
  const calls = await loadSyscalls();
  const loop = new Loop(calls, () => performance.now());
  let open = true;
  const turn = () => {
    if (!open) return;
    loop.turn(WAIT_MS);
    setImmediate(turn);
  };
  setImmediate(turn);
  return {
    calls,
    loop,
    io: new RawIo(loop, calls),
    accepted: 0,
    close() {
      open = false;
      loop.close();
    },
  };
}

/** Streams over raw sockets, for the tests of both engines. */
export function rawEngine(turned: TurnedLoop): StreamEngine {
  const { io, calls, loop } = turned;
  return {
    async open(made, settings, { targetPort, direction, onDial }) {
      const streams = createStreams(made.context, settings, undefined, loop.timers, calls.md5);
      const { fd, at } = listenStreams(calls, { address: '127.0.0.1', port: 0 });
      const toTarget = rawDialler(io, { address: '127.0.0.1', port: targetPort });
      const listener = acceptStreams(io, fd, {
        destinations: false,
        onFault: (error) => {
          throw error;
        },
        onStream(socket, peer) {
          turned.accepted++;
          const dial = () => {
            onDial();
            return toTarget();
          };
          streams.accept(socket, { direction: direction(), peer, dial });
        },
      });
      return {
        streams,
        port: at.port,
        async close() {
          listener.close();
          streams.stop();
          const gone = () => streams.counts().inbound + streams.counts().outbound === 0;
          for (let tries = 0; tries < 100 && !gone(); tries++) await pause(5);
          if (!gone()) throw new Error('streams that do not close');
        },
      };
    },
  };
}

/** Runs the tests of files in test/datapath over raw sockets. Node's own runs of the same files are theirs. */
export async function runOverRaw(t: Tap, files: readonly string[]): Promise<void> {
  const turned = await turnedLoop();
  t.teardown(() => turned.close());
  useEngine(rawEngine(turned));
  for (const file of files) await import(`../${file}.test.ts`);
  void t.test('raw sockets carried it', async (t) => {
    t.ok(turned.accepted >= files.length, `${turned.accepted} connections`);
  });
}

/** What a socket tells from now on: the chunks of its data as text, and the names of all else. */
export function storyOf(socket: RawSocket): readonly string[] {
  const story: string[] = [];
  earsOf(socket)
    .on('data', (chunk) => story.push(chunk.toString()))
    .on('end', () => story.push('end'))
    .on('error', () => story.push('error'))
    .on('close', () => story.push('close'));
  return story;
}
