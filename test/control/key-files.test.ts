import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t from 'tap';
import { type KeyFiles, openKeyFiles } from '../../src/control/key-files.ts';

import { readSmallFile } from '../../src/control/read-file.ts';
import { KEYRING_KEYS_MAX } from '../../src/wire/limits.ts';

const key = (fill: number) => new Uint8Array(32).fill(fill);
const base64 = (...fills: number[]) => fills.map((fill) => `${Buffer.from(key(fill)).toString('base64')}\n`).join('');

interface Watched {
  readonly contents: Map<string, string>;
  readonly told: string[];
  readonly keyFiles: KeyFiles;
  /** Two looks. */
  settle(): Promise<void>;
}

async function watch(initial: Record<string, string>): Promise<Watched> {
  const contents = new Map(Object.entries(initial));
  const told: string[] = [];
  const keyFiles = await openKeyFiles({
    files: [...contents.keys()],
    async read(file) {
      const text = contents.get(file);
      if (text === undefined) throw new Error('no such file');
      return Buffer.from(text);
    },
    onKeys: (keys) => told.push(`keys ${keys.map(([first]) => first)}`),
    onProblem: (why) => told.push(why ?? 'well again'),
  });
  return {
    contents,
    told,
    keyFiles,
    async settle() {
      await keyFiles.check();
      await keyFiles.check();
    },
  };
}

t.test('the first key of the first file is the primary one, and none counts twice', async (t) => {
  const { keyFiles } = await watch({ a: base64(2, 1), b: base64(1, 3) });
  t.strictSame(keyFiles.keys(), [key(2), key(1), key(3)]);
});

t.test('a file that cannot be used at the start is named', async (t) => {
  await t.rejects(watch({ a: base64(1), b: 'no key at all' }), {
    name: 'KeyFileError',
    message: 'b: line 1 is not base64',
  });
  const tooMany = Array.from({ length: KEYRING_KEYS_MAX }, (_, i) => i + 1);
  await t.rejects(watch({ a: base64(...tooMany), b: base64(99) }), { message: /more than 32 keys together/ });
});

t.test('a rotation is taken up at the second look that agrees', async (t) => {
  const { contents, told, keyFiles, settle } = await watch({ a: base64(1) });
  await settle();
  t.strictSame(told, [], 'nothing changed, nothing said');
  contents.set('a', base64(2, 1));
  await keyFiles.check();
  t.strictSame(keyFiles.keys(), [key(1)], 'a writer may be in the middle of it');
  contents.set('a', base64(2, 1, 3));
  await keyFiles.check();
  t.strictSame(keyFiles.keys(), [key(1)], 'it still changes');
  await keyFiles.check();
  t.strictSame(keyFiles.keys(), [key(2), key(1), key(3)]);
  contents.set('a', base64(2));
  await settle();
  t.strictSame(told, ['keys 2,1,3', 'keys 2']);
});

t.test('the last good keys stay in use while a file is broken, and that is said once', async (t) => {
  const { contents, told, keyFiles, settle } = await watch({ a: base64(1), b: base64(2) });
  contents.set('b', '');
  await keyFiles.check();
  t.strictSame(told, [], 'a file that is being written is empty for a moment');
  await settle();
  contents.delete('a');
  await settle();
  t.strictSame(keyFiles.keys(), [key(1), key(2)]);
  t.equal(keyFiles.problem(), 'a: no such file');
  contents.set('a', base64(1));
  contents.set('b', base64(2));
  await settle();
  t.equal(keyFiles.problem(), undefined);
  contents.set('a', '# none');
  contents.set('b', base64(2));
  await settle();
  contents.set('a', base64(4));
  await settle();
  const expected = [
    'b: it holds no key',
    'a: no such file',
    'well again',
    'a: it holds no key',
    'keys 4,2',
    'well again',
  ];
  t.strictSame(told, expected);
});

t.test('files on a disk: rewritten, replaced by a symlink, and what is no file', async (t) => {
  const dir = t.testdir({ v1: { gossip: base64(1) }, v2: { gossip: base64(2) }, big: 'x'.repeat(100) });
  const at = (name: string) => join(dir, name);
  symlinkSync('v1', at('..data'));
  symlinkSync('..data/gossip', at('gossip'));
  const keyFiles = await openKeyFiles({
    files: [at('gossip')],
    read: (file) => readSmallFile(file, 80),
    onKeys: () => undefined,
    onProblem: () => undefined,
  });
  t.teardown(() => keyFiles.stop());
  // As the kubelet swaps a Secret.
  symlinkSync('v2', at('..data_tmp'));
  renameSync(at('..data_tmp'), at('..data'));
  await keyFiles.check();
  await keyFiles.check();
  t.strictSame(keyFiles.keys(), [key(2)]);
  writeFileSync(at('gossip'), base64(3));
  keyFiles.start();
  keyFiles.start();
  for (let i = 0; i < 100 && keyFiles.keys()[0]?.[0] !== 3; i++)
    await new Promise((resolve) => setTimeout(resolve, 100));
  t.strictSame(keyFiles.keys(), [key(3)], 'it looks by itself');
  t.notMatch(inspect(keyFiles, { depth: 9, showHidden: true }), /\b3, 3\b|Awj|Aw==/, 'and shows no key');

  await t.rejects(readSmallFile(at('gone'), 80), { message: 'no such file' });
  await t.rejects(readSmallFile(at('big'), 80), { message: 'it has more than 80 bytes' });
  await t.rejects(readSmallFile(dir, 80), { message: 'it is a directory' });
  await t.rejects(readSmallFile('/dev/zero', 80), { message: 'it is no regular file' });
  await t.rejects(readSmallFile(join(at('big'), 'x'), 80), { message: 'cannot be read (ENOTDIR)' });
  mkdirSync(at('pipes'));
  execFileSync('mkfifo', [at('pipes/one')]);
  await t.rejects(readSmallFile(at('pipes/one'), 80), { message: 'it is no regular file' });
});
