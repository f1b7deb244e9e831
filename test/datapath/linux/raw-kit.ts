/** A loop of the engine inside the test's process: turned between node's own events, so that node's sockets run beside it. */
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { RawIo } from '../../../src/datapath/linux/raw-io.ts';
import { loadSyscalls, type Syscalls } from '../../../src/datapath/linux/syscalls.ts';

/** A wait of the loop, ms: node's events come late by so much at most. */
const WAIT_MS = 1;

export interface TurnedLoop {
  readonly calls: Syscalls;
  readonly loop: Loop;
  readonly io: RawIo;
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
    close() {
      open = false;
      loop.close();
    },
  };
}
