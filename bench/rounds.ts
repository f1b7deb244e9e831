/** Rounds that may be run again, and how often. */
import { type Round, SpoiledRound, type Stand } from './measure.ts';

/** Rounds of a measure that may be spoiled; one more fails it. */
export const SPOILED_MAX = 2;

/** Runs rounds until one is sound. What spoiled the others is added to `spoiled`, those of the measure so far, and said. */
export async function soundRound(
  stand: Pick<Stand, 'round'>,
  spoiled: string[],
  say: (line: string) => void,
): Promise<Round> {
  for (;;) {
    try {
      return await stand.round();
    } catch (error) {
      if (!(error instanceof SpoiledRound) || spoiled.length >= SPOILED_MAX) throw error;
      spoiled.push(error.message);
      say(`a round is thrown away: ${error.message}`);
    }
  }
}
