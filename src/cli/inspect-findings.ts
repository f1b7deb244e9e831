/** What a capture says about rings that touch: tuples under two labels, senders with two, frames that cross. */
import type { Tuple } from '../ring/quarantine.ts';
import { tupleKey } from '../ring/tuple.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeText } from '../wire/escape.ts';
import { FINDINGS_MAX, SENDER_LABELS_MAX, SENDERS_MAX, TUPLES_MAX } from './inspect-bounds.ts';
import type { Evidence, Finding, FindingKind } from './inspect-report.ts';

/** A label as text, escaped; null for none. */
export type LabelText = string | null;

/** Makes the evidence of what is happening now: only called when it is kept, because most of it is not. */
export type See = () => Evidence;

/** Each label that something was seen with, and the first time. */
type FirstSeen = Map<LabelText, Evidence>;

interface Known extends Tuple {
  readonly labels: FirstSeen;
  /** Where the name was last alive, by label. */
  readonly places: Map<LabelText, Place>;
}

interface Place {
  /** `address:port`. */
  where: string;
  /** Whose place it is now: nearly every alive message says again what is known. */
  tuple?: Known;
  /** Addresses that the name was alive at before this one, and the first time it was at each. */
  readonly past: Map<string, Evidence>;
}

export interface Findings {
  /** A frame of `label` went from one member (`address:port`) to another. */
  sent(from: string, to: string | undefined, label: LabelText, see: See): void;
  /** `address` answered a push/pull of `label` with its own. */
  answered(address: string, label: LabelText, see: See): void;
  /** Gossip under `label` said that a member is alive. */
  alive(tuple: Tuple, label: LabelText, see: See): void;
  /** Labels that a tuple was gossiped alive under. */
  labelsOf(tuple: Tuple): readonly LabelText[];
  list(): readonly Finding[];
  /** Findings, tuples and senders that the bounds left out. */
  leftOut(): number;
}

/** How a label is named in a sentence. */
export function labelName(label: LabelText): string {
  return label === null ? 'no label' : `label "${label}"`;
}

/** `onFinding` is told each one once, as soon as it is proven. */
export function createFindings(onFinding: (finding: Finding) => void): Findings {
  const found = new Map<string, Finding>();
  const senders = new Map<string, FirstSeen>();
  const tuples = new Map<string, Known>();
  const places = new Map<string, Place>();
  /** What reached a member, and what it answered, before it was known what it sends. */
  const reached = new Map<string, FirstSeen>();
  const answers = new Map<string, FirstSeen>();
  let leftOut = 0;

  const tell = (key: string, kind: FindingKind, sentence: string, evidence: readonly Evidence[]): void => {
    if (found.has(key)) return;
    if (found.size === FINDINGS_MAX) {
      leftOut++;
      return;
    }
    const finding = { kind, sentence, evidence };
    found.set(key, finding);
    onFinding(finding);
  };

  const twoLabels = (from: string, labels: FirstSeen): void => {
    const [first, second] = [...labels.values()].slice(-2) as [Evidence, Evidence];
    const unlabelled = first.label === null || second.label === null;
    tell(
      `two ${from} ${labels.size}`,
      unlabelled ? 'labelled_and_not' : 'two_labels',
      `${from} sends with ${labelName(first.label)} and with ${labelName(second.label)}`,
      [first, second],
    );
  };
  /** `of` sends something for the first time: what came to it or from it before is looked at again. */
  const settle = (of: string): void => {
    for (const evidence of reached.get(of)?.values() ?? []) crossing(of, evidence.label, () => evidence);
    for (const evidence of answers.get(of)?.values() ?? []) answering(of, evidence.label, () => evidence);
  };
  const crossing = (to: string, label: LabelText, see: See): void => {
    const theirs = senders.get(to);
    if (theirs?.has(label) === true) return;
    const [first] = theirs?.values() ?? [];
    if (first === undefined) {
      remember(reached, to, label, see);
      return;
    }
    const evidence = see();
    if (evidence.from === to) return;
    const sentence = `frames with ${labelName(label)} from ${evidence.from} reach ${to}, which sends with ${labelName(first.label)}`;
    tell(`cross ${evidence.from} ${to} ${JSON.stringify(label)}`, 'crosses_labels', sentence, [evidence, first]);
  };
  const answering = (address: string, label: LabelText, see: See): void => {
    const theirs = senders.get(address);
    if (theirs?.has(label) === true) return;
    const [first] = theirs?.values() ?? [];
    if (first === undefined) {
      remember(answers, address, label, see);
      return;
    }
    const sentence = `${address}, which sends with ${labelName(first.label)}, answered a push/pull with ${labelName(label)}: its members are now known there`;
    tell(`answer ${address} ${JSON.stringify(label)}`, 'answered_across_labels', sentence, [see(), first]);
  };
  /** A restart moves a name once; two members of one name take turns. */
  const moved = (known: Known, label: LabelText, see: See): void => {
    const where = formatEndpoint(known);
    const key = `${label === null ? '' : `"${label}"`} ${known.name}`;
    let place = known.places.get(label) ?? places.get(key);
    if (place === undefined) {
      if (places.size === TUPLES_MAX) return;
      place = { where, past: new Map() };
      places.set(key, place);
    }
    known.places.set(label, place);
    const before = place.past.get(where);
    const other = place.past.get(place.where);
    if (before !== undefined && other !== undefined && place.where !== where) {
      const sentence = `${escapeText(known.name)} is alive at ${where} and at ${place.where} in turns, under ${labelName(label)}: two members have one name`;
      tell(`name ${key}`, 'name_at_two_addresses', sentence, [before, other, see()]);
    }
    place.where = where;
    place.tuple = known;
    if (before === undefined && place.past.size < SENDER_LABELS_MAX) place.past.set(where, see());
  };
  const merged = (known: Known, label: LabelText, see: See): void => {
    if (known.labels.size === SENDER_LABELS_MAX) return;
    known.labels.set(label, see());
    const seen = [...known.labels.values()];
    if (seen.length === 1) return;
    const names = seen.map(({ label: one }) => labelName(one)).join(' and ');
    const where = `${escapeText(known.name)} at ${formatEndpoint(known)}`;
    const sentence = `${where} is gossiped alive with ${names}: the rings have merged, or one member serves both`;
    tell(`tuple ${tupleKey(known)} ${seen.length}`, 'merged_tuple', sentence, seen);
  };

  return {
    sent(from, to, label, see) {
      const labels = senders.get(from);
      if (labels?.has(label) !== true) {
        if (!remember(senders, from, label, see)) leftOut++;
        else if (labels === undefined) settle(from);
        else twoLabels(from, labels);
      }
      if (to !== undefined) crossing(to, label, see);
    },
    answered: answering,
    alive(tuple, label, see) {
      const key = tupleKey(tuple);
      let known = tuples.get(key);
      if (known === undefined) {
        if (tuples.size === TUPLES_MAX) {
          leftOut++;
          return;
        }
        known = { ...tuple, labels: new Map(), places: new Map() };
        tuples.set(key, known);
      }
      if (known.places.get(label)?.tuple !== known) moved(known, label, see);
      if (!known.labels.has(label)) merged(known, label, see);
    },
    labelsOf: (tuple) => [...(tuples.get(tupleKey(tuple))?.labels.keys() ?? [])],
    list: () => [...found.values()],
    leftOut: () => leftOut,
  };
}

/** Keeps the first evidence of a label, within the bounds; false when there was no room. */
function remember(table: Map<string, FirstSeen>, key: string, label: LabelText, see: See): boolean {
  const labels = table.get(key);
  if (labels === undefined) {
    if (table.size === SENDERS_MAX) return false;
    table.set(key, new Map([[label, see()]]));
    return true;
  }
  if (labels.has(label)) return true;
  if (labels.size === SENDER_LABELS_MAX) return false;
  labels.set(label, see());
  return true;
}
