/** Which engine carries a fence, and why: the process has one Linux engine, made when a fence first wants it. */
import type { LinuxEngine } from '../datapath/linux/engine.ts';

export interface Engines {
  /** The Linux engine of this process; whether it can run here is told by its `load`, or when a fence opens. */
  linux(): Promise<LinuxEngine>;
}

export function createEngines(): Engines {
  let linux: Promise<LinuxEngine> | undefined;
  return {
    linux() {
      linux ??= import('../datapath/linux/engine.ts').then(({ createLinuxEngine }) => createLinuxEngine());
      return linux;
    },
  };
}
