/** Which engine carries a fence, and why: the process has one Linux engine, made when a fence first wants it. */
import { readFileSync } from 'node:fs';
import type { FenceConfig } from '../config/types.ts';
import { StartError } from '../datapath/engine.ts';
import type { LinuxEngine } from '../datapath/linux/engine.ts';
import { oneLine } from './exit.ts';

export interface EngineChoice {
  /** Undefined: node's own sockets carry the fence. */
  readonly linux: LinuxEngine | undefined;
  /** One line for the log and the status. */
  readonly why: string;
}

export interface Engines {
  /**
   * Starts the engine's thread while the configuration in `file` is still to be read and checked: the two take a core each. Resolves
   * once it is on its way. A file that names the portable engine, or cannot be read, starts nothing; `choose` starts what it needs.
   */
  prepare(file: string): Promise<void>;
  /** Rejects with a StartError when the fence asks for the Linux engine and this process cannot have it. */
  choose(fence: Pick<FenceConfig, 'engine' | 'mode' | 'tls'>): Promise<EngineChoice>;
}

const PORTABLE = /\bengine\b["']?\s*:\s*["']?portable\b/;

/** At once: what goes through node's pool would wait until its threads have started. */
function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Whoever reads it in earnest says why.
    return undefined;
  }
}

export function createEngines(): Engines {
  let made: Promise<LinuxEngine> | undefined;
  const engine = () => {
    made ??= import('../datapath/linux/engine.ts').then(({ createLinuxEngine }) => createLinuxEngine());
    return made;
  };
  return {
    async prepare(file) {
      const text = textOf(file);
      // A look, no more: a thread that nobody wants costs memory, one that is not there yet some time.
      if (text === undefined || PORTABLE.test(text)) return;
      // Whether it came up is told to whoever chooses.
      void (await engine()).load();
    },
    async choose({ engine: setting, mode, tls }) {
      if (setting === 'portable') return { linux: undefined, why: 'engine: portable is set' };
      const linux = await engine();
      const carried = (why: string) => {
        const refused = linux.unpreferred();
        const more = [
          ...(tls === undefined ? [] : ['node carries its TLS connections']),
          ...(refused === undefined ? [] : [`its thread waits for the core as any other (${refused})`]),
        ];
        return { linux, why: [why, ...more].join('; ') };
      };
      const problem = await linux.load();
      // Its own start says what is missing.
      if (mode.kind === 'transparent') return carried('a transparent fence has no other');
      if (problem === undefined) {
        return carried(setting === 'linux' ? 'engine: linux is set' : 'its system calls are at hand');
      }
      if (setting === 'auto') return { linux: undefined, why: oneLine(problem.message) };
      throw new StartError(problem.code, `engine: linux cannot be: ${problem.message}`, { cause: problem });
    },
  };
}
