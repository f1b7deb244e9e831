/** The certificates of one fence, for its composition. */
import type { FenceConfig } from '../config/types.ts';
import { CERT_FILE_MAX_BYTES, type CertFiles, openCertFiles } from '../control/cert-files.ts';
import { readSmallFile } from '../control/read-file.ts';
import type { Fault, StreamSettings } from '../datapath/engine.ts';

export interface FenceTls {
  /** The fence's stream settings, with its certificates where it terminates TLS. */
  readonly streams: StreamSettings;
  /** What is wrong with the certificate files, or the certificate in use; undefined: nothing, or there are none. */
  problem(): string | undefined;
  /** When the certificate in use ends, ms since the epoch; undefined without TLS. */
  notAfterMs(): number | undefined;
  /** Keeps the certificates current from now on. */
  start(): void;
  stop(): void;
}

/** Reads the certificate files once. Rejects with a CertFileError when one cannot be used. */
export async function composeTls(
  config: FenceConfig,
  now: () => number,
  onFault: (fault: Fault) => void,
): Promise<FenceTls> {
  const { streams, tls } = config;
  if (tls === undefined)
    return { streams, problem: () => undefined, notAfterMs: () => undefined, start: () => {}, stop: () => {} };
  const files: CertFiles = await openCertFiles({
    ...tls,
    read: (file) => readSmallFile(file, CERT_FILE_MAX_BYTES),
    now,
    onChange(notAfterMs) {
      const message = `new certificates are in use, valid until ${new Date(notAfterMs).toISOString()}`;
      onFault({ code: 'tls_files_changed', message });
    },
    onProblem(why) {
      if (why === undefined) onFault({ code: 'tls_files_good', message: 'the certificate files are right again' });
      else onFault({ code: 'tls_files_bad', message: why });
    },
  });
  const { clientAuth, verifyServer, serverName } = tls;
  return {
    streams: { ...streams, tls: { context: files.context, clientAuth, verifyServer, serverName } },
    problem: files.problem,
    notAfterMs: files.notAfterMs,
    start: files.start,
    stop: files.stop,
  };
}
