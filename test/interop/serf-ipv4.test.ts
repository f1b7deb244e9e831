import t from 'tap';
import { LAB_TOOLS, requireTools } from '../lab/tools.ts';
import { acceptArm } from './serf-accept.ts';
import { controlArm } from './serf-control.ts';
import { fencedArm } from './serf-fenced.ts';

const skip = requireTools([...LAB_TOOLS, 'serf']);

t.setTimeout(240_000);
t.jobs = 3;
t.test('control: without fences one join merges', { skip }, (t) => controlArm(t, 'ipv4'));
t.test('fenced at enforce: rings stay apart', { skip }, (t) => fencedArm(t, 'ipv4'));
t.test('accept to enforce at run time', { skip }, (t) => acceptArm(t, 'ipv4'));
