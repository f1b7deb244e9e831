/** What GET /api/v1/adoption and POST /api/v1/stage answered, read field by field: another version, or another program, may have. */
import { oneLine } from './exit.ts';

/** Rows of one list that are read; a fence sends fewer. */
const ROWS_MAX = 2_000;

type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, ROWS_MAX) : [];
}

/** Text fit for a terminal; undefined where there is none. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? oneLine(String(value)) : undefined;
}

/** One line of what stands against a step. */
export interface AgainstLine {
  /** Undefined where it is not told. */
  readonly cuts: boolean | undefined;
  readonly text: string;
}

/** Rows of `against` as lines: "tempo-ingester-3 10.0.3.7: drops labelled pings", of the status the lines that it has. What is neither is left out. */
export function againstLines(rows: unknown): readonly AgainstLine[] {
  return listOf(rows).flatMap((value): AgainstLine[] => {
    if (typeof value === 'string') return [{ cuts: undefined, text: oneLine(value) }];
    const { cuts, name, address, text } = fieldsOf(value);
    const who = [textOf(name), textOf(address)].filter((part) => part !== undefined).join(' ');
    const what = textOf(text);
    if (what === undefined) return [];
    return [{ cuts: cuts === true, text: who === '' ? what : `${who}: ${what}` }];
  });
}

/** A step as people read it: what is known to be cut, then what is unknown, then what is said besides. */
export function stepLines(step: unknown): readonly string[] {
  const { against, againstTotal, notes } = fieldsOf(step);
  const lines = againstLines(against);
  const more = typeof againstTotal === 'number' ? againstTotal - lines.length : 0;
  return [
    ...lines.map(({ cuts, text }) => `${cuts === undefined ? 'against' : cuts ? 'cuts   ' : 'unknown'}  ${text}`),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...listOf(notes).flatMap((note) => {
      const text = textOf(note);
      return text === undefined ? [] : [`note     ${text}`];
    }),
  ];
}

/** Of one fence where it is named: an answer has up to a thousand members of each. */
export function adoptionPath(fence: string | undefined): string {
  return `/api/v1/adoption${fence === undefined ? '' : `?fence=${encodeURIComponent(fence)}`}`;
}

/** The fences of an answer, the one named `only` where it is given; undefined when it is no such answer. */
export function adoptionFences(answer: unknown, only: string | undefined): readonly Fields[] | undefined {
  const { fences } = fieldsOf(answer);
  if (!Array.isArray(fences)) return undefined;
  const read = listOf(fences).map(fieldsOf);
  if (read.some(({ name, stage }) => typeof name !== 'string' || typeof stage !== 'string')) return undefined;
  return read.filter(({ name }) => only === undefined || name === only);
}
