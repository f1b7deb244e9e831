// Gossip keys at the start of a fence and while it runs: what is said of their files, and that it is nothing of the keys.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import t from 'tap';
import { openGossipKeys } from '../../src/cli/gossip-keys.ts';
import type { Fault } from '../../src/datapath/engine.ts';
import { openPacket, sealPacket } from '../../src/wire/encryption.ts';
import { eventually, freePort, ringfence } from './fence-process.ts';

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');
const key = SECRET.toString('base64');
const NONE = new Uint8Array(0);

t.test('the configuration names a key file that cannot be used', async (t) => {
  const dir = t.testdir({ broken: `${key}\n${key.slice(0, 20)}\n`, empty: '', good: key });
  const file = join(dir, 'fence.yaml');
  const [port, app, admin] = [await freePort(), await freePort(), await freePort()];
  const run = (keyFiles: string) => {
    writeFileSync(
      file,
      `fences: [{ name: a, cluster: b, listen: "127.0.0.1:${port}", app: { address: "127.0.0.1:${app}" }, encryption: { keyFiles: ${keyFiles} } }]\nadmin: { address: "127.0.0.1:${admin}" }\n`,
    );
    return ringfence(['run', '-c', file]);
  };
  for (const [name, why] of [
    ['missing', 'no such file'],
    ['broken', 'line 2 has 15 bytes; a key has 16, 24 or 32'],
    ['empty', 'it holds no key'],
  ] as const) {
    const { code, stderr, stdout } = await run(`["${join(dir, 'good')}", "${join(dir, name)}"]`);
    t.equal(code, 78, name);
    t.match(stderr, `${join(dir, name)}: ${why}`, `${name}: the file and why`);
    t.notMatch(stderr + stdout, key.slice(0, 8), `${name}: nothing of a key`);
    t.notMatch(stderr, /\n.*\n/, `${name}: one line`);
  }
  const checked = await ringfence(['check-config', file]);
  t.equal(checked.code, 0, 'check-config does not read keys: they may be elsewhere');
});

t.test('a fence takes up new keys, and keeps the last good ones', async (t) => {
  const dir = t.testdir({ keys: key });
  const file = join(dir, 'keys');
  const faults: Fault[] = [];
  let changes = 0;
  const keys = await openGossipKeys([file], (fault) => faults.push(fault));
  t.teardown(() => keys.stop());
  keys.start(() => changes++);
  const first = keys.keyring();
  const sealed = sealPacket(first as NonNullable<typeof first>, Buffer.from('gossip'), NONE, 1, 0);
  t.equal(first?.size, 1);
  writeFileSync(file, `${Buffer.alloc(16, 9).toString('base64')}\n${key}\n`);
  await eventually('two keys are in use', async () => changes === 1);
  const second = keys.keyring();
  t.match(openPacket(second as NonNullable<typeof second>, sealed, NONE), { ok: true, value: { key: 1 } });
  t.equal(keys.bytes().length, 2);
  rmSync(file);
  await eventually('the problem is known', async () => keys.problem() !== undefined);
  t.equal(keys.keyring(), second, 'the last good keys');
  writeFileSync(file, `${Buffer.alloc(16, 9).toString('base64')}\n${key}\n`);
  await eventually('it is over', async () => keys.problem() === undefined);
  t.strictSame(
    faults.map(({ code }) => code),
    ['gossip_keys_changed', 'key_files_unreadable', 'key_files_readable'],
  );
  const said = JSON.stringify(faults) + inspect(keys, { depth: 9, showHidden: true }) + inspect(second, { depth: 9 });
  t.notMatch(said, new RegExp(`${key.slice(0, 8)}|${SECRET.toString('hex').slice(0, 8)}|01234567|48, 49, 50`));
});

t.test('without files there are no keys', async (t) => {
  const keys = await openGossipKeys([], () => t.fail('nothing to say'));
  keys.start(() => undefined);
  t.equal(keys.keyring(), undefined);
  t.strictSame(keys.bytes(), []);
  t.equal(keys.problem(), undefined);
  keys.stop();
});
