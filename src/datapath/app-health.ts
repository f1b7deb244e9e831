/** Whether the app answers, told by what happens when it is dialled. One fault is reported for each change, not for each failure. */
import type { FenceContext } from './engine.ts';

export interface AppHealth {
  /** Undefined before the first try. */
  up(): boolean | undefined;
  connected(): void;
  /** `why` is our own, the kernel's or OpenSSL's text, never a peer's; it may have lines. */
  failed(why: string): void;
}

export function createAppHealth(context: Pick<FenceContext, 'onFault'>): AppHealth {
  let up: boolean | undefined;
  return {
    up: () => up,
    connected() {
      const was = up;
      up = true;
      if (was === false) context.onFault({ code: 'app_reachable', message: 'the app is reachable again' });
    },
    failed(why) {
      const was = up;
      up = false;
      if (was !== false)
        context.onFault({ code: 'app_unreachable', message: `the app is not reachable: ${oneLine(why)}` });
    },
  };
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').trim();
}
