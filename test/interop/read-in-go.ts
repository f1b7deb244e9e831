/** Asks Go's own code, built as `vectors read`, what it makes of frames that somebody else wrote. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Vector } from '../wire/golden.ts';
import { buildVectors, type VectorOrigin } from './build.ts';

const READ_TIMEOUT_MS = 60_000;
const NONE = new Uint8Array(0);

/** The keys that Go is given for a sealed frame. */
export const KEYS = [16, 24, 32].map((size) => new Uint8Array(size).fill(size));

/** A frame that we wrote, and what Go has to make of it. */
export interface Written {
  readonly kind: Vector['kind'];
  readonly bytes: Uint8Array;
  /** For an answer: the label that both sides know. */
  readonly label?: Uint8Array;
  readonly sealed?: boolean;
  readonly expected: Readonly<Partial<Vector>>;
}

/** Asks the built Go program what it reads in each frame, in order. */
export async function readInGo(origin: VectorOrigin, written: readonly Written[]): Promise<Record<string, unknown>[]> {
  const program = await buildVectors(origin);
  const child = spawn(program, ['read'], { timeout: READ_TIMEOUT_MS });
  const errors: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  for (const [i, { kind, bytes, label = NONE, sealed = false }] of written.entries()) {
    const keysHex = sealed ? KEYS.map((key) => Buffer.from(key).toString('hex')) : [];
    const labelHex = Buffer.from(label).toString('hex');
    child.stdin.write(
      `${JSON.stringify({ name: `${i}`, kind, hex: Buffer.from(bytes).toString('hex'), labelHex, keysHex })}\n`,
    );
  }
  child.stdin.end();
  const answers: Record<string, unknown>[] = [];
  for await (const line of createInterface({ input: child.stdout })) answers.push(JSON.parse(line));
  if (answers.length !== written.length) throw new Error(`${answers.length} answers: ${Buffer.concat(errors)}`);
  return answers;
}
