/**
 * The Linux engine as the main thread has it: one worker thread (engine-worker.ts) for all fences of the process, started by the
 * first that wants it and ended after the last.
 */
import type { StartError } from '../engine.ts';
import { createEngineFence, type EngineFence, type EngineFenceEvents, type FenceLink } from './engine-fence.ts';
import { type EngineThread, startThread } from './engine-thread.ts';
import type { FenceStart } from './worker-protocol.ts';

export interface LinuxEngine {
  /**
   * Starts the thread if need be; resolves to undefined once this process is known to have the engine, else to why it cannot (platform,
   * architecture, koffi). A thread in which no fence is opened does not keep the process alive.
   */
  load(): Promise<StartError | undefined>;
  /** After `load`: why its thread does not get the core before the process's other threads, where the kernel refused that. */
  unpreferred(): string | undefined;
  /** Opens a fence in the thread; its `ready` tells whether that worked. */
  open(events: EngineFenceEvents, start: FenceStart): EngineFence;
}

/** Makes the engine; nothing is started yet. */
export function createLinuxEngine(): LinuxEngine {
  let thread: EngineThread | undefined;
  const links = new Map<number, FenceLink>();
  let numbers = 0;

  const running = (): EngineThread => {
    thread ??= startThread({
      onMessage: (fence, message) => links.get(fence)?.take(message),
      onDeath(why) {
        thread = undefined;
        for (const link of links.values()) link.died(why);
        links.clear();
      },
    });
    return thread;
  };
  const left = async (number: number): Promise<void> => {
    if (!links.delete(number) || links.size > 0) return;
    const last = thread;
    thread = undefined;
    await last?.stop();
  };

  return {
    async load() {
      const starting = running();
      starting.hold(true);
      const problem = await starting.up;
      if (links.size === 0) starting.hold(false);
      // One that failed may be tried again.
      if (problem !== undefined && thread === starting) thread = undefined;
      return problem;
    },
    unpreferred: () => thread?.unpreferred(),
    open(events, start) {
      const number = ++numbers;
      const home = running();
      home.hold(true);
      const post: Parameters<typeof createEngineFence>[0]['post'] = (message) =>
        home.post({ ...message, fence: number });
      const { fence, link } = createEngineFence({ home, post, left: () => left(number) }, events, start);
      links.set(number, link);
      return fence;
    },
  };
}
