/** Bounds of streams and sessions that suit tests. */
import type { PathLimits } from '../../src/datapath/engine.ts';

export const LIMITS: PathLimits = {
  headerTimeoutMs: 2_000,
  connectTimeoutMs: 2_000,
  idleTimeoutMs: 5_000,
  streams: 256,
  streamsPerPeer: 256,
  sessions: 64,
  sessionIdleMs: 5_000,
  rejectDrainMs: 2_000,
  rejectDrainBytes: 64 * 1024 * 1024,
  holdTimeoutMs: 4_000,
  holdBytes: 32 * 1024 * 1024,
  holdBytesTotal: 128 * 1024 * 1024,
  pushPullNodes: 65_536,
  announcedBytes: 512 * 1024 * 1024,
};
