/** The engine's thread as the main thread holds it: what is left behind when it ends. */
import { pbkdf2 } from 'node:crypto';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { startThread } from '../../../src/datapath/linux/engine-thread.ts';

const eventfds = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('[eventfd]');
    } catch {
      return false;
    }
  }).length;

t.test('it is woken through its own descriptor alone, however late the process is', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ringfence-thread-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const before = eventfds();
  const thread = startThread({ onMessage: () => undefined, onDeath: (why) => t.fail(why) });
  thread.hold(true);
  t.equal(await thread.up, undefined);
  // Every thread of node's pool is busy for a while, as it is with names that do not resolve.
  const busy = Promise.all(
    Array.from({ length: 8 }, () => promisify(pbkdf2)('password', 'salt', 400_000, 64, 'sha512')),
  );
  await thread.stop();
  t.equal(eventfds(), before, 'which is closed after it');
  const files = Array.from({ length: 64 }, (_, i) => openSync(join(dir, `${i}`), 'w'));
  await busy;
  const written = files.map((file) => fstatSync(file).size).filter((bytes) => bytes > 0);
  t.strictSame(written, [], 'nothing is written to what was opened since');
  for (const file of files) closeSync(file);
});
