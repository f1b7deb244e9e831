/** A capture's frames to what is known of the rings in it: puts packets, streams, findings and tables together. */
import { REASON_SENTENCES } from '../policy/reason.ts';
import { formatEndpoint } from '../wire/address.ts';
import { createDissector, type Datagram, type Dissector } from '../wire/capture/dissect.ts';
import type { CapturedFrame } from '../wire/capture/frame.ts';
import type { CodecFailure } from '../wire/codec-reason.ts';
import type { Keyring } from '../wire/encryption.ts';
import { decodeKvPair } from '../wire/kv.ts';
import type { Message } from '../wire/messages.ts';
import { type CollectBudget, createCollectBudget } from './inspect-collect.ts';
import { describeAll, describeMessage } from './inspect-describe.ts';
import { createFindings, type Findings } from './inspect-findings.ts';
import { createSpeaker, NOBODY, type Speaker } from './inspect-gossip.ts';
import { createLearner, type Learner } from './inspect-learn.ts';
import { isSurelyGossip, type ReadPacket, readPacket } from './inspect-packet.ts';
import type { PortFilter } from './inspect-ports.ts';
import { type Finding, type FrameLine, timeText } from './inspect-report.ts';
import { followConnection, type ReadExchange } from './inspect-stream.ts';
import { createTraffic, type Kinds, type Traffic } from './inspect-traffic.ts';

export interface AnalysisOptions {
  readonly ports: PortFilter;
  readonly keyring: Keyring | undefined;
  /** Told each finding as soon as it is proven. */
  onFinding(finding: Finding): void;
  /** Told each packet and each exchange that has ended; undefined when nobody listens. */
  readonly onFrame: ((line: FrameLine) => void) | undefined;
}

export interface Analysis {
  readonly dissector: Dissector;
  readonly findings: Findings;
  readonly learner: Learner;
  readonly traffic: Traffic;
  readonly budget: CollectBudget;
  /** Exchanges with bytes missing, and ones seen midway. */
  readonly streams: { readonly gaps: number; readonly midway: number };
  frame(frame: CapturedFrame): void;
  /** Times of the first and the last frame that has one. */
  firstMs(): number | undefined;
  lastMs(): number | undefined;
}

/** What a packet or one side of an exchange came to, for the tables. */
interface Content {
  readonly speaker: Speaker;
  readonly source: string;
  readonly destination: string;
}

export function createAnalysis(options: AnalysisOptions): Analysis {
  const findings = createFindings(options.onFinding);
  const learner = createLearner(findings);
  const traffic = createTraffic();
  const budget = createCollectBudget();
  const streams = { gaps: 0, midway: 0 };
  const keyring = () => options.keyring;
  const parts: Parts = { options, findings, learner, traffic, streams };
  let firstMs: number | undefined;
  let lastMs: number | undefined;

  const dissector = createDissector({
    isGossipPort: options.ports.matches,
    datagram: (datagram) => takeDatagram(parts, datagram),
    connection: (connection) =>
      followConnection(connection, {
        gossip: learner,
        keyring,
        budget,
        labelled(_header, { answerer }, speaker) {
          learner.frame(speaker);
          if (connection.dialler.address === answerer.address) return;
          findings.sent(speaker.name, formatEndpoint(answerer), speaker.label, speaker.see('stream'));
        },
        exchange: (exchange) => takeExchange(parts, exchange),
      }),
  });
  return {
    ...{ dissector, findings, learner, traffic, budget, streams },
    frame(frame) {
      firstMs ??= frame.atMs;
      lastMs = frame.atMs ?? lastMs;
      dissector.frame(frame);
    },
    firstMs: () => firstMs,
    lastMs: () => lastMs,
  };
}

interface Parts {
  readonly options: AnalysisOptions;
  readonly findings: Findings;
  readonly learner: Learner;
  readonly traffic: Traffic;
  readonly streams: { gaps: number; midway: number };
}

function takeDatagram(parts: Parts, datagram: Datagram): void {
  const { options, findings, learner, traffic } = parts;
  const { source, destination, payload, number, atMs } = datagram;
  const read = readPacket(payload, options.keyring, true);
  if (options.ports.any && source !== undefined && !isSurelyGossip(read)) return;
  const speaker = createSpeaker({
    from: source,
    label: read.label,
    transport: 'native',
    kind: 'packet',
    moment: datagram,
  });
  const to = destination === undefined ? undefined : formatEndpoint(destination);
  const content: Content = { speaker, source: speaker.name, destination: to ?? NOBODY };
  const kinds = traffic.frame(
    {
      protocol: source === undefined ? 'text' : 'udp',
      source: content.source,
      destination: content.destination,
      transport: 'native',
      label: read.malformed === undefined ? speaker.label : undefined,
      bytes: payload.length + datagram.missing,
      sealing: read.sealing,
      atMs,
    },
    speaker.name,
  );
  if (datagram.missing > 0) {
    problem(
      parts,
      content,
      'cut',
      'The capture cut the packet short: take it with a larger snapshot length (tcpdump -s 0).',
    );
  }
  // What is cut cannot be judged; its label can, where it is whole.
  const whole = datagram.missing === 0;
  if (read.malformed === undefined) {
    learner.frame(speaker);
    if (source !== undefined) findings.sent(speaker.name, to, speaker.label, speaker.see('packet'));
  }
  if (whole) takeRead(parts, content, read, kinds, false);
  options.onFrame?.({
    frame: number,
    at: timeText(atMs),
    protocol: source === undefined ? 'text' : 'udp',
    source: content.source,
    destination: content.destination,
    transport: 'native',
    label: speaker.label,
    text: packetText(read),
  });
}

/** Learns from a packet's messages and notes what is wrong with it. */
function takeRead(parts: Parts, content: Content, read: ReadPacket, kinds: Kinds, pairs: boolean): void {
  const { speaker } = content;
  const { malformed, harm, messages, failures } = read;
  if (malformed !== undefined) problem(parts, content, malformed, REASON_SENTENCES[malformed]);
  if (harm !== undefined) problem(parts, content, harm, REASON_SENTENCES[harm]);
  for (const message of messages) takeMessage(parts, speaker, message, kinds, pairs);
  if (failures.length > 0) kinds['unreadable'] = (kinds['unreadable'] ?? 0) + failures.length;
  for (const failure of failures) problem(parts, content, failure.reason, failureSentence(failure));
}

function takeMessage({ learner }: Parts, speaker: Speaker, message: Message, kinds: Kinds, pairs: boolean): void {
  kinds[message.type] = (kinds[message.type] ?? 0) + 1;
  learner.message(speaker, message);
  if (!pairs || message.type !== 'user') return;
  const pair = decodeKvPair(message.data);
  if (pair.ok) learner.pair(speaker, pair.value);
}

function packetText(read: ReadPacket): string {
  const texts = read.messages.map(describeMessage);
  if (read.malformed !== undefined) texts.push(`malformed: ${read.malformed}`);
  if (read.harm !== undefined) texts.push(`HARMFUL: ${read.harm}`);
  if (read.sealing === 'sealed') texts.push('encrypted, no key fits');
  for (const { reason } of read.failures) texts.push(`unreadable: ${reason}`);
  return describeAll(texts);
}

function problem(
  { traffic }: Parts,
  { source, destination, speaker }: Content,
  reason: string,
  sentence: string,
): void {
  traffic.problem(reason, sentence, source, destination, speaker.see(reason));
}

function failureSentence({ reason, at }: CodecFailure): string {
  return `A message cannot be read (${reason} at byte ${at}); members log and drop it too.`;
}

function takeExchange(parts: Parts, exchange: ReadExchange): void {
  const { options, streams, traffic } = parts;
  const { connection, header, speaker, bytes, missing, request, answer, packet, moment } = exchange;
  const { midway, dialler, answerer } = connection;
  // A probe that connects and sends nothing is no exchange.
  if (bytes === 0 && missing === 0) return;
  const gossip = header !== undefined && header.transport !== 'tls' && header.transport !== 'unknown';
  const surely = packet !== undefined || Object.keys({ ...request?.kinds, ...answer?.kinds }).length > 0;
  if (options.ports.any && !surely) return;
  if (midway) streams.midway++;
  if (missing > 0) streams.gaps++;
  const read = packet === undefined ? undefined : readPacket(packet.bytes, options.keyring, false);
  const content: Content = { speaker, source: dialler.address, destination: formatEndpoint(answerer) };
  const transport = header === undefined ? (midway ? 'midway' : 'unknown') : header.transport;
  const sealing = read?.sealing ?? (request?.sealing === 'no' ? (answer?.sealing ?? 'no') : (request?.sealing ?? 'no'));
  const kinds = traffic.frame(
    {
      protocol: 'tcp',
      source: content.source,
      destination: content.destination,
      transport,
      label: gossip && header.malformed === undefined ? speaker.label : undefined,
      ...{ bytes, sealing, atMs: moment.atMs },
    },
    speaker.name,
  );
  if (header?.malformed !== undefined) problem(parts, content, header.malformed, REASON_SENTENCES[header.malformed]);
  if (read !== undefined) takeRead(parts, content, read, kinds, true);
  if (packet?.digestFits === false) {
    problem(parts, content, 'digest', "The dskit packet's MD5 digest is wrong; dskit warns, Cortex drops it.");
  }
  takeSides(parts, exchange, content, kinds);
  if (options.onFrame === undefined) return;
  const texts = [...(request?.texts ?? []), ...(answer?.texts ?? []).map((text) => `answer: ${text}`)];
  if (missing > 0) texts.push(`${missing} bytes are not in the capture`);
  options.onFrame({
    frame: moment.number,
    at: timeText(moment.atMs),
    protocol: 'tcp',
    source: formatEndpoint(dialler),
    destination: content.destination,
    transport,
    label: speaker.label,
    text:
      describeAll([...(read === undefined ? [] : [packetText(read)]), ...texts]) || `${bytes} bytes, ${exchange.how}`,
  });
}

/** Both sides of a stream: what was said, what is wrong with it, and whether an answer crossed labels. */
function takeSides(parts: Parts, exchange: ReadExchange, content: Content, kinds: Kinds): void {
  const { connection, speaker, request, answer, missing } = exchange;
  const name = formatEndpoint(connection.answerer);
  const back = { speaker, source: name, destination: content.source };
  for (const [side, where] of [
    [request, content],
    [answer, back],
  ] as const) {
    if (side === undefined) continue;
    for (const [kind, count] of Object.entries(side.kinds)) kinds[kind] = (kinds[kind] ?? 0) + count;
    if (side.harm !== undefined) problem(parts, where, side.harm, REASON_SENTENCES[side.harm]);
    // A stream that was cut by the capture, or by its peers, is no broken one.
    if (side.failure === undefined || missing > 0 || side.failure.reason === 'truncated') continue;
    kinds['unreadable'] = (kinds['unreadable'] ?? 0) + 1;
    problem(parts, where, side.failure.reason, failureSentence(side.failure));
  }
  if (answer?.pushPull === true) parts.findings.answered(name, speaker.label, exchange.answerer.see('answer'));
}
