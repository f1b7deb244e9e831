/** What the fence must reach: figures of an engine against those of another in the same run, or alone. */
import type { Engine } from './measure.ts';

export interface Floor {
  readonly name: string;
  readonly figure: string;
  readonly engine: Engine;
  /** Against whose figure; of several the best, by all rounds; none: the figure itself. */
  readonly versus?: readonly Engine[];
  /** Against another figure of the same engine, in place of another engine's. */
  readonly against?: string;
  /** Which way is good, and where the floor lies. */
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Everybody on the machine who does the same work. */
const PEERS = ['nginx', 'nginx_oneway', 'haproxy', 'c', 'go'] as const satisfies readonly Engine[];

/** What flat is: the cost at the largest size over that at the smallest. */
const GROWTH = 1.3;

export const FLOORS: readonly Floor[] = [
  ...(['udp_forward', 'udp_forward_64'] as const).flatMap((figure): Floor[] => [
    { name: `${figure} vs nginx, a session a datagram`, figure, engine: 'linux', versus: ['nginx_oneway'], atLeast: 4 },
    { name: `${figure} vs nginx, sessions kept`, figure, engine: 'linux', versus: ['nginx'], atLeast: 1 },
    { name: `${figure} vs c`, figure, engine: 'linux', versus: ['c'], atLeast: 0.9 },
    {
      name: `${figure} portable vs nginx, a session a datagram`,
      figure,
      engine: 'portable',
      versus: ['nginx_oneway'],
      atLeast: 1.8,
    },
  ]),
  {
    name: 'udp_forward_transparent vs nginx, a session a datagram',
    figure: 'udp_forward_transparent',
    engine: 'linux',
    versus: ['nginx_oneway'],
    atLeast: 2.5,
  },
  { name: 'udp_rtt_p99_us vs nginx', figure: 'udp_rtt_p99_us', engine: 'linux', versus: ['nginx'], atMost: 1.1 },
  { name: 'udp_reject_cpu linux', figure: 'udp_reject_cpu', engine: 'linux', atMost: 0.05 },
  { name: 'tcp_connections vs nginx', figure: 'tcp_connections', engine: 'linux', versus: ['nginx'], atLeast: 1 },
  {
    name: 'tcp_connections portable vs nginx',
    figure: 'tcp_connections',
    engine: 'portable',
    versus: ['nginx'],
    atLeast: 0.45,
  },
  { name: 'tcp_bulk_mbps vs nginx', figure: 'tcp_bulk_mbps', engine: 'linux', versus: ['nginx'], atLeast: 1.3 },
  { name: 'tcp_bulk_mbps vs the best peer', figure: 'tcp_bulk_mbps', engine: 'linux', versus: PEERS, atLeast: 0.9 },
  { name: 'rss_idle_mb', figure: 'rss_idle_mb', engine: 'linux', atMost: 60 },
  { name: 'rss_loaded_mb', figure: 'rss_loaded_mb', engine: 'linux', atMost: 70 },
  { name: 'start_ms', figure: 'start_ms', engine: 'linux', atMost: 200 },
  ...(['linux', 'portable'] as const).flatMap((engine): Floor[] => [
    {
      name: `a datagram with 10,000 peers against one with 1, 20,000 a second, ${engine}`,
      figure: 'growth_peers_10000',
      against: 'growth_peers_1',
      engine,
      atMost: GROWTH,
    },
    {
      name: `a datagram with 100 fences against one with 1, 5,000 a second, ${engine}`,
      figure: 'growth_fences_100',
      against: 'growth_fences_1',
      engine,
      atMost: GROWTH,
    },
  ]),
];
