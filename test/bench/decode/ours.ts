/** Decodes the frames that main.go decodes, with the wire layer, and prints the same line. usage: ours FRAMES.json ROUNDS */
import { readFileSync } from 'node:fs';
import type { Parsed } from '../../../src/wire/codec-reason.ts';
import { createKeyring, type Keyring, openPacket, openStream as openSealed } from '../../../src/wire/encryption.ts';
import { MESSAGE_TYPE } from '../../../src/wire/message-type.ts';
import { decodeMessage } from '../../../src/wire/messages.ts';
import { decodePushPull, decodeUserStream, openStream } from '../../../src/wire/push-pull.ts';
import { walkPacket } from '../../../src/wire/walk.ts';
import type { CorpusFrame } from './corpus.ts';

const [file = '', count = '1'] = process.argv.slice(2);
const rounds = Number(count);
const entries = JSON.parse(readFileSync(file, 'utf8')) as CorpusFrame[];
const keyrings = new Map<string, Keyring>();
const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const frames = entries.map(({ stream, hex, keysHex, labelHex }) => {
  const id = keysHex.join();
  const keyring = keysHex.length === 0 ? undefined : (keyrings.get(id) ?? createKeyring(keysHex.map(fromHex)));
  if (keyring !== undefined) keyrings.set(id, keyring);
  return { stream, bytes: fromHex(hex), keyring, label: fromHex(labelHex) };
});
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
  for (const { stream, bytes, keyring, label } of frames) {
    if (stream) {
      decodeStream(keyring === undefined ? bytes : value(openSealed(keyring, bytes, label)).plain);
      continue;
    }
    const walk = walkPacket(keyring === undefined ? bytes : value(openPacket(keyring, bytes, label)).plain);
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
