import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { adoptWithoutLoss } from './adoption-proof.ts';
import { SHORT } from './adoption-ring.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);
/** Any will do: `npm run ci:long` takes others. */
const SEED = 4;

t.setTimeout(460_000);

t.test('six serf agents, from no fences to enforce', { skip }, (t) => adoptWithoutLoss(t, SEED, SHORT));
