/**
 * What the engine's thread tells the main thread of a fence all the time: a few numbers in shared memory, so that nobody has to ask.
 * Several threads may write a cell; each access is atomic.
 */

import type { AnswerPlace } from '../app-health.ts';

/** The cells, by their place. */
export const CELL = {
  /** Frames that wait until it is known who their peer is. */
  waiting: 0,
  /** UDP sessions that are open, and those dropped for newer ones since the start. */
  sessions: 1,
  sessionEvictions: 2,
  /** Streams that are open, by who dialled. */
  streamsInbound: 3,
  streamsOutbound: 4,
  /** Whether the app was reachable when it was last tried: an answer below. */
  appUp: 5,
  /** Whether the app writes sealed frames: an answer below. */
  appSeals: 6,
  /** 1 while the kernel drops foreign packets (flood-guard.ts). */
  floodGuard: 7,
} as const;

export type Cell = (typeof CELL)[keyof typeof CELL];

const CELL_COUNT = 8;

/** Bytes of the buffer that the cells of one fence live in. */
export const CELLS_BYTES = CELL_COUNT * Int32Array.BYTES_PER_ELEMENT;

/** A cell that answers a question: nothing is known, no, yes. */
const UNKNOWN = 0;
const NO = 1;
const YES = 2;

export interface Cells {
  get(cell: Cell): number;
  set(cell: Cell, value: number): void;
  /** The place of an answer. */
  answer(cell: Cell): AnswerPlace;
}

const answerOf = (value: number): boolean | undefined => (value === UNKNOWN ? undefined : value === YES);

/** The cells in `buffer` (CELLS_BYTES). */
export function createCells(buffer: ArrayBufferLike): Cells {
  const words = new Int32Array(buffer, 0, CELL_COUNT);
  return {
    get: (cell) => Atomics.load(words, cell),
    set: (cell, value) => void Atomics.store(words, cell, value),
    answer: (cell) => ({
      get: () => answerOf(Atomics.load(words, cell)),
      swap: (answer) => answerOf(Atomics.exchange(words, cell, answer ? YES : NO)),
    }),
  };
}
