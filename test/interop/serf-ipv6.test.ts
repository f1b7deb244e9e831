import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { controlArm } from './serf-control.ts';

t.setTimeout(240_000);
t.jobs = 3;
t.test('control: without fences one join merges', { skip: requireTools([...LAB_TOOLS, 'serf']) }, (t) =>
  controlArm(t, 'ipv6'),
);
