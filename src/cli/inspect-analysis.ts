/** A capture's frames to what is known of the rings in it: puts packets, streams, findings and tables together. */
import { REASON_SENTENCES } from '../policy/reason.ts';
import { formatEndpoint } from '../wire/address.ts';
import { createDissector, type Datagram, type Dissector } from '../wire/capture/dissect.ts';
import type { CapturedFrame } from '../wire/capture/frame.ts';
import type { Keyring } from '../wire/encryption.ts';
import { type CollectBudget, createCollectBudget } from './inspect-collect.ts';
import { describeAll } from './inspect-describe.ts';
import { createFindings, type Findings } from './inspect-findings.ts';
import { createSpeaker, NOBODY } from './inspect-gossip.ts';
import { createLearner, type Learner } from './inspect-learn.ts';
import { isSurelyGossip, readPacket } from './inspect-packet.ts';
import type { PortFilter } from './inspect-ports.ts';
import { type Finding, type FrameLine, timeText } from './inspect-report.ts';
import { followConnection, type ReadExchange } from './inspect-stream.ts';
import { type Content, failureSentence, type Parts, packetText, problem, takeRead } from './inspect-take.ts';
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

export function createAnalysis(options: AnalysisOptions): Analysis {
  const findings = createFindings(options.onFinding);
  const learner = createLearner(findings);
  const traffic = createTraffic();
  const budget = createCollectBudget();
  const streams = { gaps: 0, midway: 0 };
  const keyring = () => options.keyring;
  const parts: AllParts = { options, findings, learner, traffic, streams };
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

interface AllParts extends Parts {
  readonly options: AnalysisOptions;
}

function takeDatagram(parts: AllParts, datagram: Datagram): void {
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
  const protocol: FrameLine['protocol'] = source === undefined ? 'text' : 'udp';
  const where = { protocol, source: content.source, destination: content.destination, transport: 'native' };
  const kinds = traffic.frame(
    {
      ...where,
      label: read.malformed === undefined ? speaker.label : undefined,
      bytes: payload.length + datagram.missing,
      sealing: read.sealing,
      atMs,
    },
    speaker.name,
  );
  if (datagram.missing > 0) {
    problem(parts, content, 'cut', 'The capture cut the packet short: take it with tcpdump -s 0.');
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
    ...where,
    label: speaker.label,
    text: packetText(read),
  });
}

function takeExchange(parts: AllParts, exchange: ReadExchange): void {
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
  const label = gossip && header.malformed === undefined ? speaker.label : undefined;
  const where = { protocol: 'tcp', source: content.source, destination: content.destination, transport } as const;
  const kinds = traffic.frame({ ...where, label, bytes, sealing, atMs: moment.atMs }, speaker.name);
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
    ...where,
    source: formatEndpoint(dialler),
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
