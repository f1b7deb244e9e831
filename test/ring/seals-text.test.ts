import t from 'tap';
import type { SealedPeer } from '../../src/ring/seals.ts';
import { apartText, whyText } from '../../src/ring/seals-text.ts';

t.test('who could not open whose, where it stood, and what it can come from', async (t) => {
  const peer: SealedPeer = {
    ...{ address: '10.0.0.5', frames: 'both', byApp: 'refused', byPeer: 'refused', state: 'apart', lastMs: 1 },
  };
  const blind = { keys: 0, reseal: false };
  const text = apartText(peer, blind);
  t.match(text, /could not open what 10\.0\.0\.5 sealed, and 10\.0\.0\.5 could not open what the app sealed/);
  t.match(text, /its sealed frames stand with and without a label: it has another key, or/);
  t.notMatch(apartText({ ...peer, frames: undefined }, blind), /stand/);
  t.match(apartText({ ...peer, frames: 'unlabelled', byPeer: 'unknown' }, blind), /stand without a label/);
  t.match(
    apartText({ ...peer, frames: 'labelled', byApp: 'opened' }, blind),
    /^encrypted gossip: 10\.0\.0\.5 could not/,
  );
  t.match(whyText(blind), /there are no keys here/);
  t.match(whyText({ keys: 1, reseal: false }), /encryption\.reseal is off/);
  t.match(whyText({ keys: 1, reseal: true }), /another key than this fence and its app$/);
});
