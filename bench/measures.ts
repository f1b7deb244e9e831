/** Every measure, in the order in which they run. */
import type { Measure } from './measure.ts';
import { UDP_FORWARD } from './udp-forward.ts';

export const MEASURES: readonly Measure[] = [...UDP_FORWARD];
