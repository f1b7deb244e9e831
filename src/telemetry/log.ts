/** The log: pino, JSON lines or text, on standard output; rejections sampled (sampler.ts), attacker-chosen text escaped. */
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Fault, Rejection } from '../datapath/engine.ts';
import { formatEndpoint } from '../wire/address.ts';
import { escapeBytes } from '../wire/escape.ts';
import { createFaultLog } from './fault-log.ts';
import { createSampler, type SampleLine } from './sampler.ts';
import { formatTextLine } from './text-format.ts';

/** Between summaries of rejections. */
export const SUMMARY_INTERVAL_MS = 10_000;

/** Log text that waits for a slow reader; what comes on top is dropped, because a log must not hold up gossip. */
const LOG_BUFFER_MAX_BYTES = 1024 * 1024;

export interface LogSettings {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'json' | 'text';
}

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  rejection(fence: string, rejection: Rejection): void;
  fault(fence: string, fault: Fault): void;
  /** The least level that is written from now on. */
  setLevel(level: LogSettings['level']): void;
  /** Writes what is still held back: summaries, then the buffer. */
  close(): void;
}

export interface LogOptions extends LogSettings {
  /** The own label of a fence, for the lines about its rejections. */
  ownLabel(fence: string): Uint8Array | undefined;
  /** Instead of standard output. */
  readonly destination?: DestinationStream;
  readonly summaryIntervalMs?: number;
}

/** Creates the log; `close` it before the process ends. */
export function createLog(options: LogOptions): Log {
  const stdout =
    options.destination === undefined
      ? pino.destination({ dest: 1, sync: false, maxLength: LOG_BUFFER_MAX_BYTES })
      : undefined;
  // A reader that went away (EPIPE) is no reason to stop guarding.
  stdout?.on('error', () => {});
  const sink = options.destination ?? (stdout as DestinationStream);
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    options.format === 'text' ? { write: (line: string) => sink.write(formatTextLine(line)) } : sink,
  );
  const sampler = createSampler();
  const faults = createFaultLog(logger);
  const write = (line: SampleLine) => writeSample(logger, line, options.ownLabel(line.fence));
  const flush = () => {
    for (const line of sampler.flush()) write(line);
    faults.flush();
  };
  const timer = setInterval(flush, options.summaryIntervalMs ?? SUMMARY_INTERVAL_MS);
  timer.unref();
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    rejection(fence, rejection) {
      const line = sampler.note(fence, rejection);
      if (line !== undefined) write(line);
    },
    fault: (fence, fault) => faults.note(fence, fault),
    setLevel(level) {
      logger.level = level;
    },
    close() {
      clearInterval(timer);
      flush();
      try {
        stdout?.flushSync();
      } catch {
        // Nobody reads any more, or the stream is not open yet: there is nowhere left to say it.
      }
    },
  };
}

function writeSample(logger: Logger, line: SampleLine, ownLabel: Uint8Array | undefined): void {
  const { fence, rejection, reason, wouldRejectAt, count, first } = line;
  const stage = wouldRejectAt === undefined ? {} : { wouldRejectAt };
  const what = wouldRejectAt === undefined ? 'rejected' : 'passed, but would be rejected at the next stage';
  if (rejection === undefined) {
    logger.warn({ fence, reason, ...stage, count }, `${what}, many peers counted together`);
    return;
  }
  const { peer, direction, transport, kind, labelState } = rejection;
  logger.warn(
    {
      fence,
      peer: formatEndpoint(peer),
      direction,
      transport,
      kind,
      reason,
      ...stage,
      labelState,
      label: escapeBytes(rejection.label),
      ownLabel: escapeBytes(ownLabel ?? new Uint8Array(0)),
      count,
    },
    first ? what : `${what} again since the last summary`,
  );
}
