// Six serf agents from no fences to enforce, as in test/interop: in other orders, and with the default timers of fences.
import t from 'tap';
import { adoptWithoutLoss } from '../interop/adoption-proof.ts';
import { BY_DEFAULT, SHORT } from '../interop/adoption-ring.ts';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);
const SEEDS = [1, 2, 3];

t.setTimeout(3_500_000);

for (const seed of SEEDS) {
  t.test(`order ${seed}`, { skip }, (t) => adoptWithoutLoss(t, seed, SHORT));
}

t.test('with the default timers', { skip }, (t) => adoptWithoutLoss(t, 5, BY_DEFAULT));
