/** Which engine carries a fence, and why: the process has one Linux engine, made when a fence first wants it. */
import type { FenceConfig } from '../config/types.ts';
import { StartError } from '../datapath/engine.ts';
import type { LinuxEngine } from '../datapath/linux/engine.ts';

export interface EngineChoice {
  /** Undefined: node's own sockets carry the fence. */
  readonly linux: LinuxEngine | undefined;
  /** One line for the log and the status. */
  readonly why: string;
}

export interface Engines {
  /** Rejects with a StartError when the fence asks for the Linux engine and this process cannot have it. */
  choose(fence: Pick<FenceConfig, 'engine' | 'mode'>): Promise<EngineChoice>;
}

export function createEngines(): Engines {
  let made: Promise<LinuxEngine> | undefined;
  const engine = () => {
    made ??= import('../datapath/linux/engine.ts').then(({ createLinuxEngine }) => createLinuxEngine());
    return made;
  };
  return {
    async choose({ engine: setting, mode }) {
      if (setting === 'portable') return { linux: undefined, why: 'engine: portable is set' };
      const linux = await engine();
      // Its own start says what is missing.
      if (mode.kind === 'transparent') return { linux, why: 'a transparent fence has no other' };
      const problem = await linux.load();
      if (problem === undefined) {
        return { linux, why: setting === 'linux' ? 'engine: linux is set' : 'its system calls are at hand' };
      }
      if (setting === 'auto') return { linux: undefined, why: problem.message };
      throw new StartError(problem.code, `engine: linux cannot be: ${problem.message}`, { cause: problem });
    },
  };
}
