/** A loop of the engine in the test's own thread, turned between the turns of node's, so that node's sockets run beside it. */
import { createDatagramBatches, type DatagramBatches } from '../../../src/datapath/linux/datagram-batch.ts';
import { Loop } from '../../../src/datapath/linux/loop.ts';
import { loadSyscalls, type Syscalls } from '../../../src/datapath/linux/syscalls.ts';

export interface TurnedLoop {
  readonly calls: Syscalls;
  readonly loop: Loop;
  readonly batches: DatagramBatches;
  stop(): void;
}

export async function turnLoop(): Promise<TurnedLoop> {
  const calls = await loadSyscalls();
  const loop = new Loop(calls, () => performance.timeOrigin + performance.now());
  let stopped = false;
  const turn = () => {
    if (stopped) return;
    loop.turn(0);
    setImmediate(turn);
  };
  turn();
  return {
    calls,
    loop,
    batches: createDatagramBatches(calls),
    stop() {
      stopped = true;
      loop.close();
    },
  };
}
