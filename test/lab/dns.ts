/** A name server of the lab: a host of its own, whose zone a test changes while it runs. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAddress } from '../../src/wire/address.ts';
import type { Host, Lab } from './lab.ts';

/** Where `ip netns exec` takes a namespace's own resolv.conf from. */
const NETNS_FILES = '/etc/netns';
const START_TIMEOUT_MS = 20_000;

export interface LabDns {
  /** The name's A and AAAA records from the next question on: none is an empty answer, undefined no such name. */
  set(name: string, addresses: readonly string[] | undefined): void;
  /** Whether it answers at all; while it does not, askers time out. */
  answer(answers: boolean): void;
  /** What is spawned in `host` from now on asks this server. */
  use(host: Host): void;
  /** Removes what lies outside of the lab; the lab ends the rest. Safe to call twice. */
  close(): void;
}

/** Starts it as the lab's host `name`. Give `close` to a teardown. */
export async function startDns(lab: Lab, name = 'dns', ipv4 = '10.77.0.253'): Promise<LabDns> {
  removeStale();
  const zone = new Map<string, readonly string[]>();
  let answers = true;
  const written = new Set<string>();
  const path = lab.file(`${name}.zone`, '{}');
  const write = () => {
    // Renamed into place, so that no question meets half of a zone.
    writeFileSync(`${path}.new`, JSON.stringify({ answers, names: Object.fromEntries(zone) }));
    renameSync(`${path}.new`, path);
  };
  write();
  const host = lab.addHost(name, { ipv4 });
  const server = host.spawn(process.execPath, ['-e', SERVER, path]);
  await server.waitFor(/^listening$/, START_TIMEOUT_MS);
  return {
    set(asked, addresses) {
      if (addresses === undefined) zone.delete(asked.toLowerCase());
      else zone.set(asked.toLowerCase(), addresses.map(recordOf));
      write();
    },
    answer(will) {
      answers = will;
      write();
    },
    use({ namespace }) {
      const dir = join(NETNS_FILES, namespace);
      mkdirSync(dir, { recursive: true });
      written.add(dir);
      writeFileSync(join(dir, 'resolv.conf'), `nameserver ${ipv4}\noptions timeout:1 attempts:1\n`);
    },
    close() {
      for (const dir of written) rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** An address as a record's data, in hex: four bytes are an A record, sixteen an AAAA. */
function recordOf(address: string): string {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`${address} is no address`);
  return Buffer.from(address.includes(':') ? bytes : bytes.subarray(12)).toString('hex');
}

/** Files of test processes that are gone. */
function removeStale(): void {
  if (!existsSync(NETNS_FILES)) return;
  for (const name of readdirSync(NETNS_FILES)) {
    const pid = /^rflab-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(NETNS_FILES, name), { recursive: true, force: true });
  }
}

/** RFC 1035, one question each: reads the zone anew for every question. A record lives a second. */
const SERVER = `
  const { readFileSync } = require('node:fs');
  const socket = require('node:dgram').createSocket('udp4');
  const question = (message) => {
    const labels = [];
    let at = 12;
    while (message[at] > 0) {
      labels.push(message.toString('latin1', at + 1, at + 1 + message[at]));
      at += 1 + message[at];
    }
    return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
  };
  socket.on('message', (message, from) => {
    const { answers, names } = JSON.parse(readFileSync(process.argv[1], 'utf8'));
    if (!answers) return;
    const { name, type, end } = question(message);
    const bytes = type === 1 ? 4 : type === 28 ? 16 : 0;
    const records = (names[name] ?? []).map((hex) => Buffer.from(hex, 'hex')).filter((data) => data.length === bytes);
    const header = Buffer.from(message.subarray(0, 12));
    header.writeUInt16BE(names[name] === undefined ? 0x8183 : 0x8180, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    header.writeUInt32BE(0, 8);
    const rows = records.map((data) => Buffer.concat([Buffer.of(0xc0, 12, 0, type, 0, 1, 0, 0, 0, 1, 0, bytes), data]));
    socket.send(Buffer.concat([header, message.subarray(12, end), ...rows]), from.port, from.address);
  });
  socket.bind(53, '0.0.0.0', () => console.log('listening'));
`;
