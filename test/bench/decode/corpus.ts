/** The golden frames that hold messages, as memberlist's decoder gets them: labels and dskit's framing off. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CorpusFrame {
  readonly stream: boolean;
  readonly hex: string;
  /** Of an encrypted frame: the member's keys, and the label in its associated data. */
  readonly keysHex: readonly string[];
  readonly labelHex: string;
}

interface Vector {
  readonly kind: string;
  readonly hex: string;
  readonly messages?: readonly unknown[];
  readonly seal?: { readonly keysHex: readonly string[]; readonly labelHex: string };
}

const DIRECTORY = join(import.meta.dirname, '..', '..', 'fixtures', 'vectors');
const HAS_LABEL = 244;
const DIGEST_BYTES = 16;
const STREAMS: ReadonlySet<string> = new Set(['stream', 'answer', 'dskit-stream']);
const PACKETS: ReadonlySet<string> = new Set(['packet', 'dskit-packet']);

export function readCorpus(): CorpusFrame[] {
  const vectors = readdirSync(DIRECTORY).flatMap(
    (name) => (JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as { vectors: Vector[] }).vectors,
  );
  const kinds = (kind: string) => STREAMS.has(kind) || PACKETS.has(kind);
  return vectors
    .filter(({ kind, messages }) => kinds(kind) && messages !== undefined)
    .map(({ kind, hex, seal }) => {
      let bytes = Buffer.from(hex, 'hex');
      if (kind === 'dskit-packet') bytes = bytes.subarray(2 + (bytes[1] ?? 0), -DIGEST_BYTES);
      if (kind === 'dskit-stream') bytes = bytes.subarray(1);
      if (bytes[0] === HAS_LABEL) bytes = bytes.subarray(2 + (bytes[1] ?? 0));
      const { keysHex = [], labelHex = '' } = seal ?? {};
      return { stream: STREAMS.has(kind), hex: bytes.toString('hex'), keysHex, labelHex };
    });
}
