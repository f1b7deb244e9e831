/** Captures of gossip made byte by byte, and their reports without a process. */
import { createHash } from 'node:crypto';
import { createAnalysis } from '../../src/cli/inspect-analysis.ts';
import { buildReport } from '../../src/cli/inspect-build.ts';
import { parsePorts } from '../../src/cli/inspect-ports.ts';
import type { Finding, FrameLine, Report } from '../../src/cli/inspect-report.ts';
import { createCaptureReader } from '../../src/wire/capture/reader.ts';
import type { Keyring } from '../../src/wire/encryption.ts';
import { addPacketLabel, encodeLabelHeader } from '../../src/wire/label.ts';
import { encodeMessage } from '../../src/wire/messages.ts';
import { encodePushPull } from '../../src/wire/push-pull.ts';
import { ethernet, FLAGS, ip4, pcap, type Record, tcp, udp } from '../wire/capture/build.ts';

export const T0 = Date.parse('2026-11-22T14:00:00.000Z');
export const VSN = Uint8Array.of(1, 5, 2, 2, 5, 4);
const MSS = 1_000;

export const labelled = (label: string, body: Uint8Array): Uint8Array =>
  label === '' ? body : addPacketLabel(body, encodeLabelHeader(Buffer.from(label, 'latin1')));

const addr = (text: string) => Uint8Array.from(text.split('.').map(Number));

export const alive = (name: string, address: string, port = 7_946, incarnation = 1): Uint8Array =>
  encodeMessage({
    type: 'alive',
    Incarnation: incarnation,
    Node: name,
    Addr: addr(address),
    Port: port,
    Meta: new Uint8Array(0),
    Vsn: VSN,
  });

export const ping = (seq: number, name = 'x'): Uint8Array =>
  encodeMessage({ type: 'ping', SeqNo: seq, Node: name, SourceAddr: new Uint8Array(0), SourcePort: 0, SourceNode: '' });

export const pushPull = (
  names: readonly (readonly [string, string])[],
  join = false,
  userState: Uint8Array = new Uint8Array(0),
): Uint8Array =>
  encodePushPull({
    join,
    userState,
    nodes: names.map(([Name, address]) => ({
      ...{ Name, Addr: addr(address), Port: 7_946, Meta: new Uint8Array(0), Incarnation: 1, State: 0, Vsn: VSN },
    })),
  });

/** A dskit packet connection's bytes. */
export const dskitPacket = (from: string, packet: Uint8Array, digest?: Uint8Array): Uint8Array =>
  Buffer.concat([
    Uint8Array.of(1, from.length),
    Buffer.from(from),
    packet,
    digest ?? createHash('md5').update(packet).digest(),
  ]);

/** A UDP packet between gossip ports. */
export const datagram = (from: string, to: string, payload: Uint8Array, port = 7_946): Record => ({
  bytes: ethernet(0x0800, ip4(from, to, 17, udp(port, port, payload))),
});

let nextPort = 30_000;

/** A whole TCP exchange: `ask` of the dialler, `answer` of the other. */
export function exchange(
  from: string,
  to: string,
  ask: Uint8Array,
  answer: Uint8Array = new Uint8Array(0),
  port = 7_946,
): Record[] {
  const client = ++nextPort;
  const out: Record[] = [];
  const send = (back: boolean, seq: number, flags: number, data: Uint8Array = new Uint8Array(0)) =>
    out.push({
      bytes: ethernet(
        0x0800,
        back
          ? ip4(to, from, 6, tcp(port, client, seq, flags, data))
          : ip4(from, to, 6, tcp(client, port, seq, flags, data)),
      ),
    });
  send(false, 99, FLAGS.syn);
  send(true, 499, FLAGS.syn | FLAGS.ack);
  for (let at = 0; at < ask.length; at += MSS) send(false, 100 + at, FLAGS.ack, ask.subarray(at, at + MSS));
  send(false, 100 + ask.length, FLAGS.ack | FLAGS.fin);
  for (let at = 0; at < answer.length; at += MSS) send(true, 500 + at, FLAGS.ack, answer.subarray(at, at + MSS));
  send(true, 500 + answer.length, FLAGS.ack | FLAGS.fin);
  return out;
}

/** A pcap file of these records, a millisecond apart. */
export const capture = (...records: readonly (Record | readonly Record[])[]): Buffer =>
  pcap(records.flat().map((record, i) => ({ atMs: T0 + i, ...record })));

export interface InspectedOptions {
  readonly ports?: readonly string[];
  readonly keyring?: Keyring;
  readonly label?: string | null;
}

export interface Inspected {
  readonly report: Report;
  /** In the order in which they were told. */
  readonly findings: readonly Finding[];
  readonly lines: readonly FrameLine[];
}

/** What `ringfence inspect` makes of a capture. */
export function inspected(file: Uint8Array, { ports: list = [], keyring, label }: InspectedOptions = {}): Inspected {
  const ports = parsePorts(list);
  if (typeof ports === 'string') throw new Error(ports);
  const findings: Finding[] = [];
  const lines: FrameLine[] = [];
  const analysis = createAnalysis({
    ports,
    keyring,
    onFinding: (finding) => findings.push(finding),
    onFrame: (line) => lines.push(line),
  });
  const reader = createCaptureReader(analysis.frame);
  reader.push(file);
  reader.end();
  analysis.dissector.end();
  return { report: buildReport({ file: 'test', reader, analysis, ports, label }), findings, lines };
}
