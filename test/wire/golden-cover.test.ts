// The golden vectors hold what they are for: every kind of frame, of every source, sealed and not.
import t from 'tap';
import { DOCUMENTS, type Vector } from './golden.ts';

const RELEASES = ['v0.6.0', 'v0.5.0', 'v0.3.1', 'v0.2.2'].map((version) => `hashicorp/memberlist@${version}`);
const WITHOUT_LABELS = 'hashicorp/memberlist@v0.2.2';
const FORK = 'grafana/memberlist@';
const TYPES = ['ping', 'indirectPing', 'ackResp', 'nackResp', 'suspect', 'alive', 'dead', 'pushPull', 'user', 'err'];

const all = DOCUMENTS.flatMap(({ vectors }) => vectors);
const vectorsOf = (origin: string) =>
  DOCUMENTS.filter((document) => document.origin.includes(origin)).flatMap(({ vectors }) => vectors);
const typesOf = (vectors: readonly Vector[]) =>
  new Set(vectors.flatMap(({ messages }) => (messages ?? []).map(({ type }) => type)));
const missing = <T>(wanted: readonly T[], found: ReadonlySet<unknown>) => wanted.filter((one) => !found.has(one));

for (const origin of [...RELEASES, FORK]) {
  t.test(origin, async (t) => {
    const native = vectorsOf(origin).filter(({ kind }) => kind === 'packet' || kind === 'stream' || kind === 'answer');
    for (const sealed of [false, true]) {
      const some = native.filter(({ seal, messages }) => (seal !== undefined) === sealed && messages !== undefined);
      const name = sealed ? 'sealed' : 'plain';
      t.strictSame(missing(TYPES, typesOf(some)), [], `${name}: every message`);
      t.strictSame(
        missing(['packet', 'stream', 'answer'], new Set(some.map(({ kind }) => kind))),
        [],
        `${name}: kinds`,
      );
      const layers = new Set(some.flatMap((vector) => vector.layers ?? []));
      t.strictSame(missing(['crc', 'compress', 'compound'], layers), [], `${name}: layers`);
      for (const kind of ['stream', 'answer']) {
        const exchanges = some.filter((vector) => vector.kind === kind).flatMap(({ messages }) => messages ?? []);
        const joins = new Set(exchanges.filter(({ type }) => type === 'pushPull').map(({ fields }) => fields['Join']));
        t.strictSame(
          missing([true, false], joins),
          [],
          `${name}: a push/pull that joins and one that does not, ${kind}`,
        );
      }
      if (origin === WITHOUT_LABELS) continue;
      const labels = new Set(some.filter(({ kind }) => kind !== 'answer').map(({ labelHex }) => labelHex !== ''));
      t.strictSame(missing([true, false], labels), [], `${name}: with a label and without`);
    }
    const seals = native.flatMap(({ seal }) => (seal === undefined ? [] : [seal]));
    t.strictSame(missing([0, 1], new Set(seals.map(({ version }) => version))), [], 'both encryption versions');
    t.strictSame(missing([0, 1], new Set(seals.map(({ key }) => key))), [], 'first and second keys');
    const keyBytes = new Set(seals.map(({ keysHex, key }) => (keysHex[key] ?? '').length / 2));
    t.strictSame(missing([16, 24, 32], keyBytes), [], 'keys of three lengths');
  });
}

t.test('layers inside each other, in one more order than members write', async (t) => {
  const nested = vectorsOf('v0.6.0').filter(({ name }) => name.startsWith('nested'));
  t.equal(nested.length, 4);
  t.ok(nested.some(({ layers }) => (layers ?? []).filter((layer) => layer === 'compress').length > 2));
});

t.test("Grafana's fork compresses with either algorithm", async (t) => {
  for (const algorithm of ['lzw', 'snappy']) {
    const some = vectorsOf(FORK).filter(
      ({ name, layers }) => name.includes(`compression "${algorithm}"`) && layers?.includes('compress'),
    );
    const kinds = new Set(some.map(({ kind }) => kind));
    t.strictSame(missing(['packet', 'stream', 'answer', 'dskit-packet'], kinds), [], algorithm);
  }
});

t.test('dskit: pairs in packets and in both sides of an exchange, states, zones', async (t) => {
  const some = vectorsOf('grafana/dskit@');
  const withPairs = new Set(some.filter(({ pairs }) => pairs !== undefined).map(({ kind }) => kind));
  t.strictSame(missing(['kv', 'kv-run', 'dskit-packet', 'dskit-stream', 'answer'], withPairs), []);
  const facts = JSON.stringify(some.map(({ pairs, meta }) => [pairs, meta]));
  for (const word of [
    ...['ACTIVE', 'LEAVING', 'PENDING', 'JOINING', 'LEFT', 'unknown', 'pending', 'active', 'inactive', 'deleted'],
    ...['zone-a', 'member', 'bridge', 'ringDesc', 'partitionRingDesc', 'string'],
  ]) {
    t.ok(facts.includes(`"${word}"`), word);
  }
});

t.test('Alertmanager: packets and streams', async (t) => {
  const frames = vectorsOf('prometheus/alertmanager@').flatMap((vector) => vector.frames ?? []) as { kind: string }[];
  t.strictSame(missing(['packet', 'stream'], new Set(frames.map(({ kind }) => kind))), []);
});

t.test('labels of every length, and headers that memberlist refuses', async (t) => {
  const lengthsOf = (kind: string) =>
    new Set(all.filter((vector) => vector.kind === kind).map(({ labelHex }) => labelHex.length / 2));
  const lengths = Array.from({ length: 256 }, (_, n) => n);
  for (const kind of ['packet', 'stream']) t.strictSame(missing(lengths, lengthsOf(kind)), [], kind);
  for (const kind of ['dskit-packet', 'dskit-stream'])
    t.strictSame(missing([0, 1, 16, 255], lengthsOf(kind)), [], kind);
  const refused = all.filter(({ verdict }) => verdict?.removeOk === false);
  t.ok(refused.length >= 4 * 10, 'headers that four sources refuse');
});
