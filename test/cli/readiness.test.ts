/** Readiness: kept, logged once a change, and never waiting for a path that hangs. */
import t from 'tap';
import { createReadiness } from '../../src/cli/readiness.ts';

type Fences = Parameters<typeof createReadiness>[0];

/** A fence of which only notReady is asked. */
function fence(name: string, notReady: () => Promise<readonly string[]>): Fences[number] {
  return { config: { name }, path: { notReady } } as unknown as Fences[number];
}

function recorder() {
  const lines: string[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push(`${level} ${(fields as { fence: string }).fence} ${message}`);
  return { lines, log: { info: write('info'), warn: write('warn') } };
}

t.test('changes are logged once', async (t) => {
  let answer: readonly string[] = ['the app is not there'];
  const { lines, log } = recorder();
  const readiness = createReadiness([fence('a', async () => answer)], log);
  t.strictSame(readiness.of('a'), ['not started yet']);
  await readiness.check();
  await readiness.check();
  t.strictSame(readiness.of('a'), ['the app is not there']);
  answer = [];
  await readiness.check();
  await readiness.check();
  t.strictSame(readiness.of('a'), []);
  t.strictSame(lines, ['warn a not ready: the app is not there', 'info a ready']);
});

t.test('after the end nothing is ready', async (t) => {
  const { lines, log } = recorder();
  const readiness = createReadiness([fence('a', async () => [])], log);
  readiness.start();
  await readiness.check();
  readiness.end('stopping');
  await readiness.check();
  t.strictSame(readiness.of('a'), ['stopping']);
  t.strictSame(lines, ['info a ready'], 'what is asked afterwards is not logged');
});

t.test('a path that fails or hangs is not ready, and holds up no other', async (t) => {
  const readiness = createReadiness(
    [
      fence('a', () => Promise.reject(new Error('EMFILE'))),
      fence('b', () => new Promise(() => {})),
      fence('c', async () => []),
    ],
    recorder().log,
  );
  await readiness.check();
  t.strictSame(readiness.of('a'), ['readiness cannot be told: EMFILE']);
  t.strictSame(readiness.of('b'), ['the data path does not answer']);
  t.strictSame(readiness.of('c'), []);
});
