/** A round that a competitor or the machine spoiled is run again, so often; a fault of the fence never is. */
import t from 'tap';
import { ENGINES, FENCE_ENGINES, type Round, SpoiledRound, shortfall } from '../../bench/measure.ts';
import { SPOILED_MAX, soundRound } from '../../bench/rounds.ts';

const SOUND: Round = { linux: { udp_forward: 1 } };

/** Rounds that end so, one after the other; how many were run. */
function standOf(...ends: readonly (Error | Round)[]) {
  const stand = {
    ran: 0,
    round: async (): Promise<Round> => {
      const end = ends[stand.ran++];
      if (end === undefined || end instanceof Error) throw end;
      return end;
    },
  };
  return stand;
}

t.test('spoiled rounds are run again, and said', async (t) => {
  const stand = standOf(new SpoiledRound('c: 1 of 252 failed'), new SpoiledRound('go: gone'), SOUND);
  const [spoiled, said]: [string[], string[]] = [[], []];
  t.equal(await soundRound(stand, spoiled, (line) => said.push(line)), SOUND);
  t.strictSame(spoiled, ['c: 1 of 252 failed', 'go: gone']);
  t.strictSame(said, ['a round is thrown away: c: 1 of 252 failed', 'a round is thrown away: go: gone']);
});

t.test('what a measure may lose counts over all its rounds', async (t) => {
  const spoiled = Array.from({ length: SPOILED_MAX }, (_, i) => `spoiled ${i}`);
  const stand = standOf(new SpoiledRound('once more'), SOUND);
  await t.rejects(
    soundRound(stand, spoiled, () => undefined),
    { message: 'once more' },
  );
  t.equal(stand.ran, 1);
});

t.test('a fault of the fence ends the measure at once', async (t) => {
  const stand = standOf(new Error('linux: 3 wrong datagrams at the app'), SOUND);
  const spoiled: string[] = [];
  await t.rejects(
    soundRound(stand, spoiled, () => undefined),
    { message: /3 wrong/ },
  );
  t.strictSame([stand.ran, spoiled], [1, []]);
});

t.test('who does not carry its load spoils a round, unless it is a fence', async (t) => {
  const spoils = ENGINES.filter((engine) => shortfall(engine, 'it failed') instanceof SpoiledRound);
  t.strictSame(
    ENGINES.filter((engine) => !spoils.includes(engine)),
    [...FENCE_ENGINES],
  );
  t.equal(shortfall('c', '1 of 252 failed').message, 'c: 1 of 252 failed');
});
