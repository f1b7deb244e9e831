/** Whether the app answers, told by what happens when it is dialled. One fault is reported for each change, not for each failure. */
import type { FenceContext } from './engine.ts';

export interface AppHealth {
  /** Undefined before the first try. */
  up(): boolean | undefined;
  connected(): void;
  /** `why` is our own, the kernel's or OpenSSL's text, never a peer's; it may have lines. */
  failed(why: string): void;
}

/** Where an answer is kept, undefined until there is one; shared between threads, so taken and changed in one step. */
export interface AnswerPlace {
  get(): boolean | undefined;
  /** Gives what it was before. */
  swap(answer: boolean): boolean | undefined;
}

/** A place of one thread. */
export function ownPlace(): AnswerPlace {
  let kept: boolean | undefined;
  return {
    get: () => kept,
    swap(answer) {
      const before = kept;
      kept = answer;
      return before;
    },
  };
}

/** `place`: shared where several threads dial the app. */
export function createAppHealth(context: Pick<FenceContext, 'onFault'>, place: AnswerPlace = ownPlace()): AppHealth {
  return {
    up: () => place.get(),
    connected() {
      if (place.get() === true) return;
      if (place.swap(true) === false) context.onFault({ code: 'app_reachable', message: 'the app is reachable again' });
    },
    failed(why) {
      if (place.swap(false) === false) return;
      context.onFault({ code: 'app_unreachable', message: `the app is not reachable: ${oneLine(why)}` });
    },
  };
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').trim();
}
