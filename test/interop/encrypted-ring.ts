/** One encrypted ring of fenced members that predate labels and bare native ones: the scene, and its life through a change of keys. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import type { Fence } from '../lab/fence.ts';
import { createLab, type Host, type Lab } from '../lab/lab.ts';
import { rejections } from '../lab/rejections.ts';
import { exercise, joinRing, LABEL, STATE_BYTES, startMember } from './members.ts';
import { GOSSIP_PORT, type Peer } from './peers.ts';

/** Two looks at the key files, and time to spare. */
const KEYS_TIMEOUT_MS = 15_000;
const SETTLE_MS = 1_000;
/** Fences ask the members all the time, so that no moment of a change of keys passes without a ping. */
const PROBE_MS = 1_000;
const ROUNDS_MS = 3 * PROBE_MS;
/** memberlist security.go. */
const UNOPENED = /No installed keys could decrypt/;

const keyOf = (text: string, bytes: number) => createHash('sha256').update(text).digest().subarray(0, bytes);
const [KEY, NEXT] = [keyOf('one', 32), keyOf('next', 16)] as const;
const base64 = (key: Buffer) => key.toString('base64');

export interface Scene {
  readonly old: readonly [Peer, Peer];
  readonly native: readonly [Peer, Peer];
  readonly fences: readonly [Fence, Fence];
}

export interface SceneOptions {
  readonly stateBytes: number;
  /** Path of the fences' key file; without one they have no keys. */
  readonly keyFile?: string;
}

/** Two members of v0.2.2 behind fences at `label`, and two bare ones of v0.6.0, all with KEY; nobody has joined yet. */
export async function setTheScene(lab: Lab, { stateBytes, keyFile }: SceneOptions): Promise<Scene> {
  const hosts = ['old1', 'old2', 'native1', 'native2'].map((name) => lab.addHost(name)) as [Host, Host, Host, Host];
  const [one, two, three, four] = hosts;
  const encryption = keyFile === undefined ? {} : { encryption: { keyFiles: [keyFile], reseal: 'on' } };
  const config = {
    fences: [
      {
        ...{ name: 'gossip', cluster: LABEL, stage: 'label', transparent: { port: GOSSIP_PORT } },
        ...{ admit: { cidrs: hosts.map(({ ipv4 }) => ipv4) }, ...encryption },
        limits: { probeInterval: `${PROBE_MS}ms` },
      },
    ],
  };
  const fences = await Promise.all([one.fence(config), two.fence(config)]);
  const keys = [base64(KEY)];
  const start = (host: Host, native: boolean) =>
    startMember(lab, host, {
      version: native ? 'v0.6.0' : 'v0.2.2',
      keys,
      stateBytes,
      ...(native ? { label: LABEL } : {}),
    });
  const old = [await start(one, false), await start(two, false)] as const;
  const native = [await start(three, true), await start(four, true)] as const;
  await Promise.all(fences.map((fence) => fence.waitUntil('ready')));
  return { old, native, fences };
}

/** Both keys in every notation that a program could show them in. */
const NOTATIONS = [KEY, NEXT].flatMap((key) => {
  const bytes = [...key.subarray(0, 8)];
  return [
    ...[base64(key).slice(0, 12), key.toString('base64url').slice(0, 12), key.toString('hex').slice(0, 16)],
    ...[key.toString('latin1').slice(0, 8), bytes.join(','), bytes.join(', ')],
    bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' '),
  ];
});

/** What of them stands in `text`. */
const leaks = (text: string): readonly string[] =>
  NOTATIONS.filter((notation) => text.toLowerCase().includes(notation.toLowerCase()));

async function everythingSaid(fence: Fence): Promise<string> {
  const paths = ['status', 'members', 'peers', 'rejections'].map((name) => `/api/v1/${name}`);
  const answers = await Promise.all(paths.map(async (path) => JSON.stringify(await fence.get(path))));
  const metrics = JSON.stringify(await fence.metrics());
  const cli = [fence.cli('check-config', fence.configFile), fence.cli('status')];
  return [...fence.lines(), ...answers, metrics, ...cli].join('\n');
}

/** Sealed frames by what opened them, both directions. */
async function opened(fence: Fence, outcome: string): Promise<number> {
  return fence.metric('sealed_frames_total', { outcome });
}

async function keysInUse(fence: Fence, count: number, from: number): Promise<void> {
  await fence.process().waitFor(new RegExp(`gossip_keys_changed.*\\b${count} `), KEYS_TIMEOUT_MS, from);
  // A packet worker on a starved machine takes the message up after the packets that wait for it.
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

/** With keys and reseal they are one ring, watched for `quietMs`, then through a change of keys. `name` is the lab's. */
export async function liveAsOneRing(t: Test, name: string, quietMs: number): Promise<void> {
  const lab = createLab({ name });
  t.teardown(() => lab.close());
  const keyFile = lab.file('gossip.keys', `# ours\n${base64(KEY)}\n`);
  const { old, native, fences } = await setTheScene(lab, { stateBytes: STATE_BYTES, keyFile });
  const ring = [...old, ...native];
  await joinRing([native[0], old[0], old[1], native[1]]);
  await exercise(t, old[0], native[0], 'the native one is joined by the old');
  await exercise(t, native[1], old[1], 'the old one is joined by the native');
  await exercise(t, old[0], old[1], 'two fenced ones');
  await new Promise((resolve) => setTimeout(resolve, quietMs));
  const quiet = async (when: string) => {
    for (const peer of ring) {
      t.strictSame(await peer.members(), ['native1', 'native2', 'old1', 'old2'], `${when}: ${peer.name} sees all`);
      t.strictSame(peer.events('suspect'), [], `${when}: ${peer.name} suspected nobody`);
    }
    for (const fence of fences) t.strictSame(await rejections(fence), {}, `${when}: nothing was rejected`);
    for (const fence of fences) t.equal(await opened(fence, 'no_key'), 0, `${when}: every frame was opened`);
    for (const peer of ring)
      t.strictSame(
        peer.process.lines().filter((line) => UNOPENED.test(line)),
        [],
        `${when}: ${peer.name} could open what it got`,
      );
  };
  await quiet('after a while');
  t.ok((await opened(fences[0], 'label')) > 0 && (await opened(fences[0], 'empty')) > 0, 'both forms were seen');

  // Every member takes the next key before anyone seals with it, and the fences before the first.
  const marks = fences.map((fence) => fence.process().mark());
  writeFileSync(keyFile, `[${JSON.stringify(base64(KEY))}, ${JSON.stringify(base64(NEXT))}]`);
  await Promise.all(fences.map((fence, i) => keysInUse(fence, 2, marks[i] as number)));
  for (const peer of ring) t.ok((await peer.command(`addkey ${base64(NEXT)}`)).ok, `${peer.name} has both keys`);
  for (const peer of ring) t.ok((await peer.command(`usekey ${base64(NEXT)}`)).ok, `${peer.name} seals with the next`);
  await exercise(t, old[0], native[1], 'with two keys');
  for (const peer of ring) t.ok((await peer.command(`removekey ${base64(KEY)}`)).ok, `${peer.name} forgets the first`);
  await new Promise((resolve) => setTimeout(resolve, ROUNDS_MS));
  writeFileSync(keyFile, `${base64(NEXT)}\n`);
  await Promise.all(fences.map((fence, i) => keysInUse(fence, 1, marks[i] as number)));
  await exercise(t, native[0], old[1], 'with the next key alone');
  await quiet('after the change of keys');

  const [fence] = fences;
  const mark = fence.process().mark();
  writeFileSync(keyFile, `${base64(NEXT).slice(0, 9)}\n`);
  await t.resolves(
    fence.process().waitFor(/key_files_unreadable.*the last good keys stay in use/, KEYS_TIMEOUT_MS, mark),
    'a broken file is said',
  );
  const ping = await native[0].command('ping old1');
  t.ok(ping.ok, `and the last good keys stay in use ${ping.error}`);
  for (const each of fences)
    t.strictSame(leaks(await everythingSaid(each)), [], 'no key in anything that a fence says');
  for (const notation of NOTATIONS) t.not(leaks(`x${notation}y`).length, 0, 'the search finds keys');
}
