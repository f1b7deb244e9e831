/** Every measure, in the order in which they run. */
import { GROWTH } from './growth.ts';
import type { Measure } from './measure.ts';
import { PROCESS } from './process.ts';
import { TCP } from './tcp.ts';
import { UDP_FORWARD } from './udp-forward.ts';
import { UDP_REJECT } from './udp-reject.ts';
import { UDP_RTT } from './udp-rtt.ts';
import { UDP_TRANSPARENT } from './udp-transparent.ts';

export const MEASURES: readonly Measure[] = [
  ...UDP_FORWARD,
  UDP_TRANSPARENT,
  UDP_REJECT,
  UDP_RTT,
  ...TCP,
  ...PROCESS,
  ...GROWTH,
];
