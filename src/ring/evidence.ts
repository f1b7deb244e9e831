/** What is known of every other member, as readiness weighs it. Plain values: who gathers them is ring/gather.ts. */
import type { Stage } from '../policy/stage.ts';
import type { MemberState } from './members.ts';

/** One way to ask a member: datagram or connection. Times in ms, 0 = never. */
export interface ProbeLeg {
  readonly askedMs: number;
  /** When it last answered a labelled ping. */
  readonly answeredMs: number;
  /** What its last answer carried, where an answer can carry a label and the fence's own socket saw it: not on streams. */
  readonly answer: 'own' | 'none' | undefined;
  /** Since when it has not answered, though asked: 0 while it does. */
  readonly silentSinceMs: number;
}

/** What the fence's own labelled pings found at one `address:port`. */
export interface ProbeReport {
  /** Undefined where the transport has no datagrams (dskit, TLS). */
  readonly packet: ProbeLeg | undefined;
  readonly stream: ProbeLeg;
}

/** Why nothing is known of a fence although something answered. A closed list. */
export const FENCE_PROBLEMS = [
  'timeout',
  'unreachable',
  'too_large',
  'redirected',
  'http_error',
  'not_json',
  'not_a_fence',
  'other_cluster',
  'other_member',
  'member_unknown',
] as const;
export type FenceProblem = (typeof FENCE_PROBLEMS)[number];

/** What the admin API at a member's address said. */
export type FenceReport =
  /** Its fence: the cluster and the member's name are those that gossip gave. */
  | { readonly outcome: 'fence'; readonly atMs: number; readonly stage: Stage; readonly starting: boolean }
  /** The connection was refused: no admin API there. */
  | { readonly outcome: 'none'; readonly atMs: number }
  | { readonly outcome: 'unknown'; readonly atMs: number; readonly problem: FenceProblem };

/** One other member, an address that DNS says should be one, or an admitted address of neither kind that sent unlabelled frames. */
export interface Evidence {
  /** Its name; undefined where gossip does not name the address. */
  readonly name: string | undefined;
  readonly address: string;
  /** Its gossip port; where gossip does not name it, our own. */
  readonly port: number;
  /** Its state by gossip; undefined where gossip does not name it. */
  readonly state: MemberState | undefined;
  /** When gossip last named it; 0: never. */
  readonly namedMs: number;
  readonly inDns: boolean;
  readonly admitted: boolean;
  /** Admitted for a while only: DNS lists it no more and its grace runs, or a reload waits for DNS. */
  readonly leaving: boolean;
  /** Several members are behind its address, or it showed two identities: what the address shows is nobody's proof. */
  readonly ambiguous: boolean;
  /** The label under which it is known as a foreigner; undefined for one of ours. */
  readonly foreignLabel: Uint8Array | undefined;
  /** When it last sent a frame with the own label that no single datagram can fake, answers to probes included; 0: never. */
  readonly ownMs: number;
  /** Its unlabelled frames, spoofable or not; undefined: none within the window. */
  readonly unlabelled: { readonly count: number; readonly sinceMs: number; readonly lastMs: number } | undefined;
  readonly probe: ProbeReport | undefined;
  readonly fence: FenceReport | undefined;
  /** Known by its seals to be behind a fence. */
  readonly fenced: boolean;
}
