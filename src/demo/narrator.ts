/** The demo's voice: short lines with a time, coloured on a terminal only. */

const COLOURS = { blue: '94', green: '32', fence: '33', alarm: '1;31', dim: '2' } as const;
export type Tone = keyof typeof COLOURS | 'plain';

/** A line is cut there; what members say of each other is theirs to choose. */
const LINE_CHARS_MAX = 200;

export interface Narrator {
  /** A line without a time: headings and hints. */
  print(line: string): void;
  /** An event: the time, who, what. */
  say(tone: Tone, who: string, what: string): void;
}

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** Writes to `out`; `colour` says whether escape codes may be used. */
export function createNarrator(out: Output, colour: boolean): Narrator {
  const paint = (tone: Tone, text: string) =>
    colour && tone !== 'plain' ? `\x1b[${COLOURS[tone]}m${text}\x1b[0m` : text;
  return {
    print: (line) => void out.write(`${line}\n`),
    say(tone, who, what) {
      const time = new Date().toTimeString().slice(0, 8);
      out.write(`${paint('dim', time)}  ${paint(tone, who.padEnd(12))}  ${printable(what)}\n`);
    },
  };
}

/** One line of printable characters: a peer's text must not reach the terminal as it is. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e–·×…]/g, '?').slice(0, LINE_CHARS_MAX);
}
