/** Decodes the frames that main.go decodes, with the wire layer, and prints the same line. usage: ours FRAMES.json ROUNDS */
import { readFileSync } from 'node:fs';
import type { Parsed } from '../../../src/wire/codec-reason.ts';
import { MESSAGE_TYPE } from '../../../src/wire/message-type.ts';
import { decodeMessage } from '../../../src/wire/messages.ts';
import { decodePushPull, decodeUserStream, openStream } from '../../../src/wire/push-pull.ts';
import { walkPacket } from '../../../src/wire/walk.ts';

interface Entry {
  readonly stream: boolean;
  readonly hex: string;
}

const [file = '', count = '1'] = process.argv.slice(2);
const rounds = Number(count);
const entries = JSON.parse(readFileSync(file, 'utf8')) as Entry[];
const frames = entries.map(({ stream, hex }) => ({ stream, bytes: new Uint8Array(Buffer.from(hex, 'hex')) }));
let messages = 0;

function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(`${parsed.reason} at ${parsed.at}`);
  return parsed.value;
}

function decodeStream(bytes: Uint8Array): void {
  const { message } = value(openStream(bytes));
  if (message[0] === MESSAGE_TYPE.pushPull) value(decodePushPull(message));
  else if (message[0] === MESSAGE_TYPE.user) value(decodeUserStream(message));
  else value(decodeMessage(message));
  messages++;
}

function round(): void {
  for (const { stream, bytes } of frames) {
    if (stream) {
      decodeStream(bytes);
      continue;
    }
    const walk = walkPacket(bytes);
    if (walk.failures.length > 0) throw new Error(`${walk.failures[0]?.reason}`);
    messages += walk.messages.length;
  }
}

// V8 compiles what is hot only after a while; Go has no such time.
for (let i = 0; i < Math.max(20, rounds / 4); i++) round();
/** Heap that some rounds take, as long as no collection comes between; the median of several tries leaves those out. */
function bytesAllocated(): number {
  const tries: number[] = [];
  for (let i = 0; i < 9; i++) {
    globalThis.gc?.();
    const before = process.memoryUsage();
    round();
    const after = process.memoryUsage();
    tries.push(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers);
  }
  return tries.sort((a, b) => a - b)[4] as number;
}
const bytesPerFrame = bytesAllocated() / frames.length;
messages = 0;
const cpu = process.cpuUsage();
const startNs = process.hrtime.bigint();
for (let i = 0; i < rounds; i++) round();
const seconds = Number(process.hrtime.bigint() - startNs) / 1e9;
const { user, system } = process.cpuUsage(cpu);
process.stdout.write(
  JSON.stringify({
    frames: rounds * frames.length,
    messages,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    bytesPerFrame,
  }),
);
