/** The part of the configuration that holds every bound that can be set. */
import * as z from 'zod';
import { count, duration } from './fields.ts';

const HOUR_MS = 3_600_000;

/** The default of limits.inspectBytesPerSecond: several times what a busy member of a large ring gossips (test/bench/forward.ts). */
const INSPECT_BYTES_PER_SECOND = 8 * 1024 * 1024;

export const limits = z
  .strictObject({
    header: duration('5s', 100, HOUR_MS, 'How long a connection may take to finish its header'),
    connect: duration('5s', 100, HOUR_MS, 'How long connecting to the other side may take'),
    idle: duration('60s', 100, 24 * HOUR_MS, 'How long a stream may be silent in both directions'),
    streams: count(1024, 65_535, 'Open streams in total, for each direction.'),
    streamsPerPeer: count(64, 65_535, 'Open streams of one peer address, for each direction.'),
    sessions: count(
      4096,
      16_384,
      'UDP sessions (one peer address and port each, one socket each in listen mode); the oldest goes first.',
    ),
    sessionIdle: duration('60s', 1_000, 24 * HOUR_MS, 'How long a silent UDP session is kept'),
    rejectDrain: duration('5s', 0, HOUR_MS, 'How long a rejected stream is read after its explanation'),
    rejectDrainBytes: z
      .int()
      .min(0)
      .max(2 ** 30)
      .default(32 * 1024 * 1024)
      .describe('How many bytes of a rejected stream are read and thrown away after its explanation.'),
    hold: duration(
      '10s',
      100,
      HOUR_MS,
      "How long a stream may take to send what a rule needs to read of it before it is passed on; memberlist's own TCPTimeout",
    ),
    holdBytes: count(
      32 * 1024 * 1024,
      2 ** 30,
      'Bytes that are held of one stream while a rule needs them: the largest user state (20 MiB, half as much again where packing makes it larger) and its member table.',
    ),
    holdBytesTotal: count(
      128 * 1024 * 1024,
      2 ** 32,
      'Bytes that are held of all streams together, for each direction; when they are used up, reading waits. Several streams of one peer have a quarter, then go one at a time.',
    ),
    pushPullNodes: count(
      65_536,
      1_048_576,
      'Members that one push/pull towards the app may announce; memberlist reserves about 112 bytes for each at once.',
    ),
    announcedBytes: count(
      512 * 1024 * 1024,
      2 ** 34,
      'Bytes that open streams may together make the app reserve, for each direction; further ones wait, then are rejected. Several streams of one peer have a quarter.',
    ),
    drainGrace: duration('25s', 0, HOUR_MS, 'How long a stopping fence keeps forwarding while the app is still there'),
    foreignEvidence: duration(
      '10s',
      100,
      HOUR_MS,
      "How long a foreign label on a peer's TCP exchange speaks against its unlabelled frames",
    ),
    dnsRefresh: duration('30s', 1_000, HOUR_MS, 'How often the names in admit.dns are resolved'),
    strangerWait: duration(
      '2s',
      0,
      HOUR_MS / 60,
      'How long frames of an unknown peer may wait until DNS was asked about it, and at a start until the fences of the first peers were',
    ),
    strangerWaitBytes: count(4 * 1024 * 1024, 2 ** 30, 'Bytes of packets that may wait so at once.'),
    probeInterval: duration(
      '10s',
      100,
      HOUR_MS,
      'How often every member is asked by a labelled ping, and its fence through its admin API, while a step is ahead',
    ),
    settle: duration(
      '30s',
      0,
      HOUR_MS,
      'How long a step must have been safe without a break before stage: auto takes it, and up to half as long again at random',
    ),
    mergeWarmUp: duration(
      '60s',
      1_000,
      HOUR_MS,
      'How long after a start members that gossip lists count as own whatever a foreign ring says, so that a restart accuses nobody',
    ),
    inspectBytesPerSecond: z
      .int()
      .min(0)
      .max(2 ** 30)
      .default(INSPECT_BYTES_PER_SECOND)
      .describe(
        'How many bytes of frames are read below their label each second, after they were forwarded; what is beyond is left out and counted. 0: none, and nothing is known of members.',
      ),
    floodPacketsPerSecond: z
      .int()
      .min(0)
      .max(10_000_000)
      .default(5_000)
      .describe(
        'How many foreign, broken or unadmitted packets a second make a flood, which the kernel drops until it is below half of it (Linux engine). 0: the fence reads and rejects each.',
      ),
  })
  .prefault({})
  .describe('Every bound that can be set.');
