/** Compresses as Go's compress/lzw does with LSB bit order and 8-bit literals (lzw.ts reads it). */

const CLEAR = 256;
const END = 257;
const LAST = 4095;

/** With `clearWhenFull` the output is Go's own, byte for byte; without, the table stays full, as other writers leave it. */
export function encodeLzw(input: Uint8Array, clearWhenFull = true): Uint8Array {
  const out: number[] = [];
  let [bits, bitCount, width, highest] = [0, 0, 9, END];
  let table = new Map<number, number>();
  const write = (code: number): void => {
    bits |= code << bitCount;
    bitCount += width;
    while (bitCount >= 8) {
      out.push(bits & 0xff);
      bits >>>= 8;
      bitCount -= 8;
    }
  };
  /** Takes the next code into use; false when the table was cleared instead, or is full. */
  const advance = (): boolean => {
    if (highest === LAST) return false;
    highest++;
    if (highest === 1 << width && width < 12) width++;
    if (highest !== LAST || !clearWhenFull) return true;
    write(CLEAR);
    [width, highest, table] = [9, END, new Map()];
    return false;
  };
  write(CLEAR);
  let code = input[0];
  for (const byte of input.subarray(1)) {
    const key = ((code ?? 0) << 8) | byte;
    const known = table.get(key);
    if (known !== undefined) {
      code = known;
      continue;
    }
    write(code ?? 0);
    code = byte;
    if (advance()) table.set(key, highest);
  }
  if (code !== undefined) {
    write(code);
    advance();
  }
  write(END);
  if (bitCount > 0) out.push(bits & 0xff);
  return Uint8Array.from(out);
}
