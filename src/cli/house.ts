/** Fences, their admin API and their readiness as one thing that opens, drains and closes: what `run` and `demo` share. */
import { type AdminServer, startAdmin } from '../admin/server.ts';
import type { AdminConfig } from '../config/types.ts';
import type { Cut } from '../datapath/engine.ts';
import type { Log } from '../telemetry/log.ts';
import { createMergeLog, type MergeLog } from '../telemetry/merge-log.ts';
import { formatEndpoint } from '../wire/address.ts';
import type { Fence, FenceSink } from './compose.ts';
import { createReadiness, type Readiness } from './readiness.ts';
import { VERSION } from './version.ts';
import { createAdminView, type ProcessFiles } from './views.ts';

/** Closing sockets takes milliseconds; a path that hangs must not keep the process. */
const STOP_TIMEOUT_MS = 5_000;

export interface House {
  readonly admin: AdminServer;
  readonly readiness: Readiness;
  /** Keeps forwarding until each app is gone or its fence's drainGrace has passed. */
  drain(): Promise<void>;
  /** Closes everything and logs what that cut. */
  stop(): Promise<void>;
}

/** Where composed fences send their events: rejections and faults to `log`, faults of reachability told by readiness instead; merge findings as they come and go. */
export function logSink(log: Log): FenceSink {
  const merges = new Map<string, MergeLog>();
  return {
    findings(fence, ring, nowMs) {
      const known = merges.get(fence) ?? createMergeLog(fence, log);
      merges.set(fence, known);
      known.look(ring, nowMs);
    },
    say: (fence, level, message, fields = {}) => log[level]({ fence, ...fields }, message),
    rejection: (fence, rejection) => log.rejection(fence, rejection),
    fault(fence, fault) {
      // Readiness says these once, with its reasons.
      if (REACHABILITY_FAULTS.has(fault.code)) log.debug({ fence, code: fault.code }, fault.message);
      else log.fault(fence, fault);
    },
  };
}

const REACHABILITY_FAULTS: ReadonlySet<string> = new Set(['app_unreachable', 'app_reachable']);

/** Starts `fences` and the admin API. When one cannot start, what was started is stopped again, and it rejects with the error. */
export async function openHouse(
  fences: readonly Fence[],
  adminConfig: AdminConfig,
  log: Log,
  files: ProcessFiles,
): Promise<House> {
  const readiness = createReadiness(fences, log);
  const admin = await startAdmin(createAdminView(fences, readiness, VERSION, files), adminConfig);
  const started: Fence[] = [];
  try {
    for (const fence of fences) {
      started.push(fence);
      // Before the sockets open: DNS is asked by the time that the first frame comes.
      fence.adoption.start();
      await fence.path.start();
      log.info(describe(fence), 'fence started');
    }
  } catch (error) {
    await Promise.all(started.map((fence) => bounded(fence.stop())));
    await admin.stop();
    throw error;
  }
  await readiness.check();
  readiness.start();
  return {
    admin,
    readiness,
    async drain() {
      readiness.end('stopping');
      await Promise.all(fences.map(({ path, config }) => path.drain(config.drainGraceMs)));
    },
    async stop() {
      readiness.end('stopping');
      await Promise.all(
        fences.map(async ({ config, stop }) => {
          const cut = await bounded(stop());
          const fence = config.name;
          if (cut === undefined) log.error({ fence }, `the data path did not stop within ${STOP_TIMEOUT_MS} ms`);
          else log.info({ fence, ...cut }, `stopped; cut ${cut.streams} streams and ${cut.sessions} sessions`);
        }),
      );
      await admin.stop();
    },
  };
}

async function bounded(stop: Promise<Cut>): Promise<Cut | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), STOP_TIMEOUT_MS);
  });
  try {
    return await Promise.race([stop, late]);
  } finally {
    clearTimeout(timer);
  }
}

function describe({ config, path, engineReason, context, settings }: Fence): object {
  const { name, mode, dialects } = config;
  const { kind, ...where } =
    mode.kind === 'listen' ? { ...mode, listen: formatEndpoint(mode.listen), app: formatEndpoint(mode.app) } : mode;
  return {
    fence: name,
    cluster: config.cluster,
    stage: settings().stage,
    engine: path.engine,
    engineReason,
    mode: kind,
    ...where,
    ...dialects,
    admissionRules: context.admission().hasRules,
  };
}
