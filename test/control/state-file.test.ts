/** Stages in a file: whatever is wrong with it is said, and stops nothing. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openStateFile, RETRY_MS, STATE_FILE_MAX_BYTES } from '../../src/control/state-file.ts';
import { createFakeClock } from './fake-clock.ts';

const BLUE = Buffer.from('blue');
const WALL_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

async function opened(file: string) {
  const said: (string | undefined)[] = [];
  const clock = createFakeClock();
  const state = await openStateFile({ file, clock, wallNow: () => WALL_MS, onProblem: (why) => said.push(why) });
  return { state, said, clock };
}

const entry = (change: object = {}) => ({
  stage: 'label',
  label: '626c7565',
  at: '2026-01-02T03:04:05.000Z',
  ...change,
});
const text = (fences: object) => JSON.stringify({ version: 1, fences });

t.test('what was kept is there after a restart, for the same label alone', async (t) => {
  const file = join(t.testdir({}), 'state.json');
  const first = await opened(file);
  t.equal(first.state.stageOf('traces', BLUE), undefined, 'no file is no problem');
  await first.state.save('traces', BLUE, 'accept');
  await Promise.all([first.state.save('traces', BLUE, 'label'), first.state.save('logs', BLUE, 'enforce')]);
  await first.state.stop();
  t.strictSame(JSON.parse(readFileSync(file, 'utf8')), {
    version: 1,
    fences: { traces: entry(), logs: entry({ stage: 'enforce' }) },
  });
  t.strictSame(readdirSync(join(file, '..')), ['state.json'], 'nothing else is left');
  const second = await opened(file);
  t.equal(second.state.stageOf('traces', BLUE), 'label');
  t.equal(second.state.stageOf('logs', BLUE), 'enforce');
  t.equal(second.state.stageOf('traces', Buffer.from('green')), undefined, 'another label is another cluster');
  t.equal(second.state.stageOf('other', BLUE), undefined);
  await second.state.save('logs', BLUE, 'label');
  t.match(JSON.parse(readFileSync(file, 'utf8')), { fences: { traces: { stage: 'label' } } }, 'the others stay in it');
  t.strictSame([first.said, second.said], [[], []]);
});

t.test('files that are none', async (t) => {
  const dir = t.testdir({});
  const contents: readonly [string, string | Buffer, RegExp][] = [
    ['empty', '', /it is not JSON/],
    ['cut short', text({ traces: entry() }).slice(0, -10), /it is not JSON/],
    ['bytes', Buffer.from([0, 255, 254]), /it is not JSON/],
    ['null', 'null', /it holds no object/],
    ['a list', '[]', /it holds no object/],
    ['another version', '{"version":2,"fences":{}}', /its version is not 1/],
    ['no fences', '{"version":1}', /its fences are no object/],
    ['a stage that does not exist', text({ traces: entry({ stage: 'strict' }) }), /its fence 1 is no/],
    ['a stage of the prototype', text({ traces: entry({ stage: 'toString' }) }), /its fence 1 is no/],
    ['a label that is no hex', text({ traces: entry({ label: 'blue' }) }), /its fence 1 is no/],
    ['a label too long', text({ traces: entry({ label: '00'.repeat(256) }) }), /its fence 1 is no/],
    ['no entry', text({ traces: 7 }), /its fence 1 is no/],
    ['too many', text(Object.fromEntries(Array.from({ length: 81 }, (_, i) => [`f${i}`, entry()]))), /more than 80/],
    ['too long', `${text({ traces: entry() })}${' '.repeat(STATE_FILE_MAX_BYTES)}`, /more than 65536 bytes/],
    ['__proto__', '{"version":1,"fences":{"__proto__":{"stage":"label"}}}', /its fence 1 is no/],
  ];
  for (const [name, content, why] of contents) {
    const file = join(dir, 'state.json');
    writeFileSync(file, content);
    const { state, said } = await opened(file);
    t.match(said, [why], name);
    t.match(state.problem(), why);
    t.equal(state.stageOf('traces', BLUE), undefined, `${name}: no stage is taken from it`);
    await state.save('traces', BLUE, 'accept');
    t.equal(said.at(-1), undefined, `${name}: it is replaced by one that is right, and that is said`);
    t.equal((await opened(file)).state.stageOf('traces', BLUE), 'accept');
  }
});

t.test('places that cannot be written: said once, tried again, right once they can be', async (t) => {
  const dir = t.testdir({});
  const file = join(dir, 'missing', 'state.json');
  const { state, said, clock } = await opened(file);
  await state.save('traces', BLUE, 'accept');
  await state.save('traces', BLUE, 'label');
  t.match(said, [/its directory does not exist: the stage is not kept/]);
  t.equal(said.length, 1);
  await clock.pass(RETRY_MS);
  await state.save('traces', BLUE, 'label');
  t.equal(said.length, 1);
  mkdirSync(join(dir, 'missing'));
  await clock.pass(RETRY_MS);
  await state.stop();
  t.equal(said.at(-1), undefined, 'without anybody changing a stage');
  t.equal((await opened(file)).state.stageOf('traces', BLUE), 'label');
});

t.test('read-only: its stage is taken, and that the next is not kept is said', async (t) => {
  const dir = t.testdir({ 'state.json': text({ traces: entry() }) });
  const file = join(dir, 'state.json');
  chmodSync(file, 0o444);
  chmodSync(dir, 0o555);
  const isRoot = process.geteuid?.() === 0;
  // Root writes everywhere.
  if (isRoot) process.seteuid?.(65_534);
  try {
    const { state, said } = await opened(file);
    t.equal(state.stageOf('traces', BLUE), 'label');
    await state.save('traces', BLUE, 'enforce');
    t.match(said, [/it cannot be written: permission denied: the stage is not kept/]);
    await state.stop();
    t.equal((await opened(file)).state.stageOf('traces', BLUE), 'label', 'it is as it was');
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(dir, 0o755);
  }
});

t.test('a directory, a FIFO and a device in its place', async (t) => {
  const dir = t.testdir({ directory: {} });
  execFileSync('mkfifo', [join(dir, 'fifo')]);
  const files = [
    [join(dir, 'directory'), /it is a directory/, /it is a directory/],
    [join(dir, 'fifo'), /it is no regular file/, undefined],
  ] as const;
  for (const [file, unread, unwritten] of files) {
    const { state, said } = await opened(file);
    t.match(said, [unread], file);
    await state.save('traces', BLUE, 'accept');
    if (unwritten !== undefined) t.match(state.problem(), unwritten);
    await state.stop();
  }
});
