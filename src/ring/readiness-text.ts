/** Readiness in words. Names and addresses of others are escaped. */
import { escapeBytes, escapeText } from '../wire/escape.ts';
import type { Evidence, FenceProblem } from './evidence.ts';
import type { Against } from './readiness-types.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A length of time as people say it, rounded up: "40 s", "10 min", "3 h". */
export function spanText(ms: number): string {
  if (ms >= 2 * HOUR_MS) return `${Math.ceil(ms / HOUR_MS)} h`;
  if (ms >= 2 * MINUTE_MS) return `${Math.ceil(ms / MINUTE_MS)} min`;
  return `${Math.max(1, Math.ceil(ms / SECOND_MS))} s`;
}

/** Who a row is about: "tempo-ingester-3 10.0.3.7", or the address alone. Escaped. */
export function whoText({ name, address }: Pick<Evidence, 'name' | 'address'>): string {
  return name === undefined ? address : `${escapeText(name)} ${address}`;
}

/** The whole line of what stands against a step: "tempo-ingester-3 10.0.3.7: drops labelled pings". Escaped. */
export function againstText({ name, address, text }: Against): string {
  return address === undefined ? text : `${whoText({ name, address })}: ${text}`;
}

export function labelText(label: Uint8Array): string {
  return `label "${escapeBytes(label)}"`;
}

/** Why nothing is known of a fence, to stand after "its fence is unknown: ". */
export const FENCE_PROBLEM_TEXTS = {
  timeout: 'its admin API does not answer in time',
  unreachable: 'its admin API cannot be reached',
  too_large: 'its admin API answers more than any fence does',
  redirected: 'its admin API redirects',
  http_error: 'its admin API answers with an error',
  not_json: 'what answers at its admin port is not JSON',
  not_a_fence: 'what answers at its admin port is no fence',
  other_cluster: 'the fence at its address guards another cluster',
  other_member: 'the fence at its address guards a member of another name',
  member_unknown: 'the fence at its address does not know its member yet',
} as const satisfies Record<FenceProblem, string>;

/** " (its fence is at accept)"; empty where that is not known. */
export function fenceSuffix({ fence }: Pick<Evidence, 'fence'>): string {
  if (fence?.outcome !== 'fence') return '';
  return fence.starting ? ' (its fence is starting)' : ` (its fence is at ${fence.stage})`;
}
