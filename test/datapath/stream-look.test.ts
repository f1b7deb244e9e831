/** The look alone: over every stream of the golden vectors, in any chunking, nothing changes what has nothing to change. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { Look } from '../../src/datapath/look.ts';
import { createStreamLook, needsLook, type StreamRules } from '../../src/datapath/stream-look.ts';
import { createQuarantine, NO_QUARANTINE_RULES } from '../../src/ring/quarantine.ts';
import type { FrameSource } from '../../src/ring/source.ts';
import { createKeyring } from '../../src/wire/encryption.ts';
import { chunked, PROPERTY } from '../property.ts';

const VECTORS = path.resolve(import.meta.dirname, '../fixtures/vectors');
const NOBODY = createQuarantine(NO_QUARANTINE_RULES);

interface Golden {
  readonly name: string;
  readonly kind: string;
  readonly hex: string;
  readonly labelHex: string;
  /** `labelHex`: what its associated data holds; an answer's holds its request's label. */
  readonly seal?: {
    readonly keysHex: readonly string[];
    readonly labelHex: string;
    readonly version: number;
    readonly key: number;
  };
}

const GOLDEN: readonly Golden[] = readdirSync(VECTORS)
  .filter((file) => file.startsWith('memberlist') || file.startsWith('dskit'))
  .flatMap((file) => (JSON.parse(readFileSync(path.join(VECTORS, file), 'utf8')) as { vectors: Golden[] }).vectors)
  .filter(({ kind }) => kind === 'stream' || kind === 'answer');

/** What follows the label header. */
function messageOf({ hex, labelHex, kind }: Golden): Buffer {
  const bytes = Buffer.from(hex, 'hex');
  return kind === 'stream' && bytes[0] === 244 ? bytes.subarray(2 + labelHex.length / 2) : bytes;
}

function rulesOf({ labelHex, seal }: Golden): StreamRules {
  const source: FrameSource = {
    atMs: 0,
    direction: 'inbound',
    transport: 'native',
    kind: 'stream',
    peer: { address: '10.0.0.1', port: 7946 },
    labelState: 'own',
    label: Buffer.from(labelHex, 'hex'),
    rejected: false,
    answer: false,
  };
  return {
    shield: { pushPullNodes: 65_536 },
    quarantine: NOBODY,
    keyring: seal === undefined ? undefined : createKeyring(seal.keysHex.map((key) => Buffer.from(key, 'hex'))),
    label: Buffer.from(seal?.labelHex ?? labelHex, 'hex'),
    source,
    releases: true,
  };
}

/** Feeds a look as a hold does; gives the bytes that go on. */
function feed(look: Look, chunks: readonly Uint8Array[]): Buffer {
  let at = 0;
  for (const chunk of chunks) {
    at += chunk.length;
    if (look.push(chunk)) break;
  }
  const all = Buffer.concat(chunks);
  if (at === all.length) look.end();
  const { bytes, resealed } = look.release({ labelled: true, form: undefined });
  return resealed || bytes === undefined ? Buffer.alloc(0) : Buffer.concat([...bytes, all.subarray(at)]);
}

t.ok(GOLDEN.length > 500, `${GOLDEN.length} golden streams and answers`);

t.test('every golden stream passes in any chunking, byte for byte', async (t) => {
  const property = fc.property(
    fc.integer({ min: 0, max: GOLDEN.length - 1 }),
    fc.array(fc.nat(), { maxLength: 12 }),
    (index, cuts) => {
      const golden = GOLDEN[index] as Golden;
      const message = messageOf(golden);
      const look = createStreamLook(rulesOf(golden));
      const out = feed(look, chunked(message, cuts));
      return out.equals(message) && look.harm() === undefined && look.malformed() === undefined;
    },
  );
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
  for (const golden of GOLDEN) {
    const message = messageOf(golden);
    const look = createStreamLook(rulesOf(golden));
    if (!feed(look, [message]).equals(message)) t.fail(golden.name);
    if (look.harm() !== undefined) t.fail(`${golden.name}: ${look.harm()}`);
    if (golden.seal !== undefined) t.match(look.opened(), { key: golden.seal.key, version: golden.seal.version });
  }
});

t.test('encrypted ones are opened, and sealed again in the form that is asked for', async (t) => {
  const seals = GOLDEN.filter(({ seal }) => seal !== undefined && seal.labelHex !== '');
  t.ok(seals.length > 20);
  for (const golden of seals) {
    const rules = rulesOf(golden);
    const message = messageOf(golden);
    const first = createStreamLook(rules);
    first.push(message);
    const changed = first.release({ labelled: false, form: 'empty' });
    t.equal(changed.resealed, true);
    const [sealed = Buffer.alloc(0)] = changed.bytes ?? [];
    const second = createStreamLook(rules);
    second.push(sealed);
    const [one, other] = [first.opened(), second.opened()];
    t.same([other?.form, other?.version, other?.key], ['empty', one?.version, one?.key]);
    t.equal(sealed.length, message.length, 'the same version seals to the same length');
  }
});

t.test('garbage is taken without a word, and goes on as it came', async (t) => {
  const property = fc.property(
    fc.uint8Array({ maxLength: 400 }),
    fc.constantFrom(undefined, 0, 6, 8, 9, 10),
    fc.array(fc.nat(), { maxLength: 8 }),
    (bytes, first, cuts) => {
      const message = first === undefined ? bytes : Buffer.concat([Buffer.from([first]), bytes]);
      const golden = GOLDEN.find(({ seal }) => seal !== undefined) as Golden;
      const out = feed(createStreamLook(rulesOf(golden)), chunked(message, cuts));
      return out.equals(message);
    },
  );
  t.doesNotThrow(() => fc.assert(property, PROPERTY));
});

t.test('which messages have to be looked into', async (t) => {
  const golden = GOLDEN.find(({ seal }) => seal !== undefined) as Golden;
  const all = rulesOf(golden);
  const none = { ...all, shield: undefined, quarantine: undefined };
  t.equal(needsLook(all, undefined), false, 'nothing came');
  t.equal(needsLook(all, 6), true);
  t.equal(needsLook(none, 6), false, 'keys alone need no plaintext');
  t.equal(needsLook(none, 10), true);
  t.equal(needsLook({ ...all, keyring: undefined }, 10), false, 'without keys there is nothing to see');
});
