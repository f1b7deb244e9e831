/**
 * What the admin API at a member's address says, read field by field: it may be anything, because whoever holds the address wrote it. Of a
 * fence the brief form of GET /api/v1/adoption is asked for:
 *
 *   {version, fences: [{label (hex), member (string or null), stage, starting, …}]}
 */
import { STAGES, type Stage } from '../policy/stage.ts';
import type { FenceProblem } from '../ring/evidence.ts';

/** Where a fence tells how far its adoption is; every admin API has it. */
export const ADOPTION_PATH = '/api/v1/adoption?brief=true';

/** Bytes of an answer: 64 fences of a gateway with the longest names are half of it. */
export const ADMIN_ANSWER_MAX_BYTES = 256 * 1024;

/** Fences of one process that are looked at; a configuration holds fewer. */
const FENCES_MAX = 1_024;

/** memberlist has no bound for names; longer ones are not worth the memory. */
const MEMBER_MAX_CHARS = 1_024;

/** One fence as it presents itself. */
export interface AnsweredFence {
  /** Hex of the label's bytes. */
  readonly label: string;
  /** The name that its app has in gossip; null while it does not know. */
  readonly member: string | null;
  readonly stage: Stage;
  /** Its stage is not known yet. */
  readonly starting: boolean;
}

/** What asking one address gave. */
export type AdminAnswer =
  | { readonly outcome: 'fences'; readonly fences: readonly AnsweredFence[] }
  /** The connection was refused. */
  | { readonly outcome: 'none' }
  | { readonly outcome: 'unknown'; readonly problem: FenceProblem };

/** Reads the body of a 200. Total. */
export function readAdminAnswer(body: string): AdminAnswer {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { outcome: 'unknown', problem: 'not_json' };
  }
  const { fences } = fieldsOf(value);
  if (!Array.isArray(fences) || fences.length === 0 || fences.length > FENCES_MAX) return NOT_A_FENCE;
  const read = fences.map(readFence).filter((fence) => fence !== undefined);
  return read.length === fences.length ? { outcome: 'fences', fences: read } : NOT_A_FENCE;
}

const NOT_A_FENCE: AdminAnswer = { outcome: 'unknown', problem: 'not_a_fence' };

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function readFence(value: unknown): AnsweredFence | undefined {
  const { label, member, stage: named, starting } = fieldsOf(value);
  const stage = STAGES.find((known) => known === named);
  if (typeof label !== 'string' || !/^(?:[0-9a-f]{2}){1,255}$/.test(label)) return undefined;
  if (member !== null && (typeof member !== 'string' || member.length > MEMBER_MAX_CHARS)) return undefined;
  if (stage === undefined || typeof starting !== 'boolean') return undefined;
  return { label, member, stage, starting };
}

/** The fence of one member among those that an address showed, or why none of them is known to be its. */
export type FoundFence = { readonly fence: AnsweredFence } | { readonly problem: FenceProblem };

/** `label`: hex of our own; `name`: the member's by gossip, undefined where gossip gave none. */
export function fenceOf(fences: readonly AnsweredFence[], label: string, name: string | undefined): FoundFence {
  const ours = fences.filter((fence) => fence.label === label);
  if (ours.length === 0) return { problem: 'other_cluster' };
  const [fence, ...more] = ours.filter(({ member }) => member !== null && member === name);
  if (fence === undefined) {
    const mayBe = name === undefined || ours.some(({ member }) => member === null);
    return { problem: mayBe ? 'member_unknown' : 'other_member' };
  }
  // Two fences of one app contradict each other, or are made up.
  const agree = more.every(({ stage, starting }) => stage === fence.stage && starting === fence.starting);
  return agree ? { fence } : { problem: 'not_a_fence' };
}
