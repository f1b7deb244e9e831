import { FOREIGN, OWN } from './harness.ts';

/** Bytes that often start as a frame does, so that garbage reaches the depths of the decoders. */
export function garbage(random: () => number): Buffer {
  const starts = [
    [],
    [244],
    [244, OWN.length, ...OWN],
    [244, FOREIGN.length, ...FOREIGN],
    [1, 2, 97, 98],
    [2],
    [2, 244],
    [6],
  ];
  const start = starts[Math.floor(random() * starts.length)] ?? [];
  const tail = Array.from({ length: Math.floor(random() * 80) }, () => Math.floor(random() * 256));
  return Buffer.from([...start, ...tail]);
}
