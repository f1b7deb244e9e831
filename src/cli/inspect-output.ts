/** Lines to standard output, no faster than they are taken. */

export interface Output {
  line(text: string): void;
  /** Resolves when what was written is taken; false when nobody takes it any more. */
  flush(): Promise<boolean>;
}

/** Lines go out together, at every flush; a line is written whole. */
export function createOutput(stream: NodeJS.WritableStream): Output {
  let waiting: string[] = [];
  let gone = false;
  return {
    line(text) {
      if (!gone) waiting.push(`${text}\n`);
    },
    async flush() {
      if (waiting.length === 0) return !gone;
      const text = waiting.join('');
      waiting = [];
      await new Promise<void>((resolve) => {
        stream.write(text, (error) => {
          if (error) gone = true;
          resolve();
        });
      });
      return !gone;
    },
  };
}
