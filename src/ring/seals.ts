/**
 * Who can open whose encrypted gossip, told without keys. A fenced member that predates labels seals without associated data and a
 * native one with its label; neither opens the other's, drops its packets without a word, and answers its streams with an error that
 * is sealed too. What shows from outside: whether sealed frames stand under a label header, and how long sealed answers are
 * (wire/sealed-refusal.ts). Another key looks the same as another form, and silence says nothing: both stay unknown here.
 */
import { looksEncrypted } from '../wire/encryption.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { readSealedAnswer, SEALED_ANSWER_HEAD_BYTES } from '../wire/sealed-refusal.ts';
import { BoundedTable } from './bounded.ts';
import { type FrameSource, isOwnGossip, spokenByPeer } from './source.ts';

/** What one side's last telling answer says of what the other had sealed. */
export type SealVerdict = 'opened' | 'refused' | 'unknown';

/** What is known of the sealed gossip with one address, within the window. */
export interface SealedPeer {
  /** Text. */
  readonly address: string;
  /** Whether its own sealed frames stood under the cluster's label, under none, or both; undefined: only answers were seen. */
  readonly frames: 'labelled' | 'unlabelled' | 'both' | undefined;
  /** What the app's answers say of the streams that the peer had sealed. */
  readonly byApp: SealVerdict;
  /** What the peer's answers say of the streams that the app had sealed. */
  readonly byPeer: SealVerdict;
  /** `apart`: one could not open the other's. `together`: one could, and no word against it. */
  readonly state: 'apart' | 'together' | 'unknown';
  readonly lastMs: number;
}

export interface SealsOptions {
  /** How many addresses are remembered; the longest silent go first, those without a telling answer before the others. */
  readonly peers: number;
  /** How long evidence counts, ms. */
  readonly windowMs: number;
  /** Called when a peer turns out to be apart, once until it no longer is. */
  onApart(peer: SealedPeer): void;
}

export interface Seals {
  /** Takes note of a packet (after its label). */
  packet(source: FrameSource, bytes: Uint8Array): void;
  /** Reads along with one direction of a stream (after its label). `push` is false once nothing that follows is of interest. */
  stream(source: FrameSource): { push(chunk: Uint8Array): boolean };
  peers(nowMs: number): readonly SealedPeer[];
  /** Addresses that made room for others. */
  evictions(): number;
}

interface Told {
  readonly verdict: 'opened' | 'refused';
  readonly atMs: number;
}

interface Evidence {
  readonly address: string;
  labelledMs: number;
  unlabelledMs: number;
  byApp: Told | undefined;
  byPeer: Told | undefined;
  lastMs: number;
}

/** Remembers nothing yet. */
export function createSeals({ peers: limit, windowMs, onApart }: SealsOptions): Seals {
  const table = new BoundedTable<Evidence>(limit);

  const note = ({ peer: { address }, atMs }: FrameSource, telling: boolean, change: (evidence: Evidence) => void) => {
    const known = table.get(address);
    const evidence = known ?? newEvidence(address);
    const before = known === undefined ? 'unknown' : viewOf(known, atMs, windowMs).state;
    change(evidence);
    evidence.lastMs = atMs;
    table.put(address, evidence, telling);
    const after = viewOf(evidence, atMs, windowMs);
    if (after.state === 'apart' && before !== 'apart') onApart(after);
  };
  const sealedBy = (source: FrameSource) =>
    note(source, false, (evidence) => {
      if (source.labelState === 'own') evidence.labelledMs = source.atMs;
      else evidence.unlabelledMs = source.atMs;
    });
  const answered = (source: FrameSource, verdict: Told['verdict']) =>
    note(source, true, (evidence) => {
      evidence[spokenByPeer(source) ? 'byPeer' : 'byApp'] = { verdict, atMs: source.atMs };
    });
  const readHead = (source: FrameSource, head: Uint8Array) => {
    if (!isOwnGossip(source)) return;
    if (!source.answer) {
      if (spokenByPeer(source)) sealedBy(source);
      return;
    }
    const verdict = readSealedAnswer(head);
    if (verdict !== 'unknown') answered(source, verdict);
  };

  return {
    packet(source, bytes) {
      if (spokenByPeer(source) && isOwnGossip(source) && looksEncrypted(bytes)) sealedBy(source);
    },
    stream(source) {
      let head = new Uint8Array(0);
      return {
        push(chunk) {
          if (head.length === SEALED_ANSWER_HEAD_BYTES || (head[0] ?? chunk[0]) !== MESSAGE_TYPE.encrypt)
            return chunk.length === 0;
          head = Uint8Array.from([...head, ...chunk.subarray(0, SEALED_ANSWER_HEAD_BYTES - head.length)]);
          if (head.length < SEALED_ANSWER_HEAD_BYTES) return true;
          readHead(source, head);
          return false;
        },
      };
    },
    peers(nowMs) {
      table.prune(({ lastMs }) => nowMs - lastMs > windowMs);
      return [...table.values()].map((evidence) => viewOf(evidence, nowMs, windowMs));
    },
    evictions: () => table.evictions,
  };
}

function newEvidence(address: string): Evidence {
  const never = Number.NEGATIVE_INFINITY;
  return { address, labelledMs: never, unlabelledMs: never, byApp: undefined, byPeer: undefined, lastMs: never };
}

function viewOf(evidence: Evidence, nowMs: number, windowMs: number): SealedPeer {
  const within = (atMs: number) => nowMs - atMs <= windowMs;
  const verdictOf = (told: Told | undefined): SealVerdict =>
    told !== undefined && within(told.atMs) ? told.verdict : 'unknown';
  const { address, labelledMs, unlabelledMs, lastMs } = evidence;
  const [byApp, byPeer] = [verdictOf(evidence.byApp), verdictOf(evidence.byPeer)];
  const labelled = within(labelledMs);
  const unlabelled = within(unlabelledMs);
  const either = labelled ? 'labelled' : unlabelled ? 'unlabelled' : undefined;
  const both = [byApp, byPeer];
  return {
    address,
    frames: labelled && unlabelled ? 'both' : either,
    byApp,
    byPeer,
    state: both.includes('refused') ? 'apart' : both.includes('opened') ? 'together' : 'unknown',
    lastMs,
  };
}
