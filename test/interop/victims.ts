/** Members to be attacked, bare or behind a listen fence, and whoever sends the frames. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addPacketLabel, encodeLabelHeader } from '../../src/wire/label.ts';
import type { Host, Lab } from '../lab/lab.ts';
import type { LabProcess } from '../lab/process.ts';
import { GOSSIP_PORT } from './peers.ts';

export const APP_PORT = 7947;
const START_TIMEOUT_MS = 20_000;
const DSKIT = { packet: 1, stream: 2 } as const;

/** Address space of a victim: so much that Go runs well, so little that a claim of 64 GiB fails on every machine. */
const ADDRESS_SPACE_BYTES = 24 * 2 ** 30;

let victims = 0;

/** Starts a program of the interop tests under the name `victim`, on `port` of the host. */
export async function startVictim(
  lab: Lab,
  host: Host,
  program: string,
  port: number,
  args: readonly string[] = [],
): Promise<LabProcess> {
  const commands = join(lab.directory('victims'), String(++victims));
  const advertised = ['-advertise', `${host.ipv4}:${GOSSIP_PORT}`];
  const process = host.spawn('prlimit', [
    `--as=${ADDRESS_SPACE_BYTES}`,
    program,
    ...['-name', 'victim', '-bind', host.ipv4, '-port', String(port), '-commands', commands],
    ...(port === GOSSIP_PORT ? [] : advertised),
    ...args,
  ]);
  await process.waitFor(/"event":"listening"/, START_TIMEOUT_MS);
  return process;
}

/** The most memory that a process ever had, MB. */
export function peakMb({ pid }: LabProcess): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}

export type Way = 'udp' | 'tcp' | 'dskit packet' | 'dskit stream';

/** A frame as it goes on the wire: under a label or none, and in dskit's framing where the way is dskit's. */
export function framed(bytes: Uint8Array, way: Way, label = ''): Uint8Array {
  const labelled = label === '' ? bytes : addPacketLabel(bytes, encodeLabelHeader(Buffer.from(label)));
  if (way === 'udp' || way === 'tcp') return labelled;
  if (way === 'dskit stream') return Buffer.concat([Uint8Array.of(DSKIT.stream), labelled]);
  const from = Buffer.from('10.77.0.250:7946');
  const digest = createHash('md5').update(labelled).digest();
  return Buffer.concat([Uint8Array.of(DSKIT.packet, from.length), from, labelled, digest]);
}

/** A connection gives up on an answer after this. */
const PATIENCE_MS = 3_000;

const SCRIPT = `
  const [address, way, patienceMs, ...files] = process.argv.slice(1);
  const { readFileSync } = require('node:fs');
  let left = files.length;
  const done = () => { if (--left === 0) process.exit(); };
  for (const file of files) {
    const bytes = readFileSync(file);
    if (way === 'udp') {
      const socket = require('node:dgram').createSocket('udp4');
      socket.send(bytes, ${GOSSIP_PORT}, address, done);
      continue;
    }
    const socket = require('node:net').connect(${GOSSIP_PORT}, address);
    socket.on('error', () => {}).on('close', done).resume();
    socket.setTimeout(Number(patienceMs), () => socket.destroy());
    if (way === 'dskit packet') socket.end(bytes);
    else socket.write(bytes);
  }`;

/** Sends frames to the gossip port of a host, each on a connection of its own; resolves when the connections have ended. */
export async function send(
  lab: Lab,
  from: Host,
  to: Host,
  way: Way,
  frames: readonly Uint8Array[],
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const files = frames.map((frame, i) => {
    const path = join(lab.directory('frames'), `${from.name}-${i}`);
    writeFileSync(path, frame);
    return path;
  });
  const { ok, output } = await from.run(
    process.execPath,
    ['-e', SCRIPT, to.ipv4, way, String(patienceMs), ...files],
    30_000,
  );
  if (!ok) throw new Error(`sending failed: ${output}`);
}
