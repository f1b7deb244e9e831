/**
 * The fence's certificate, its key and the CA, from files that are read again while it runs: a rotation needs no restart. Whole contents
 * are compared and no times or inodes, because a mounted Secret changes by a symlink and an editor by a new file. Connections
 * that are open keep what they were opened with. Nothing of a key is in anything that this room says or throws.
 *
 * An expired certificate is in use like any other, and said: whoever starts the fence may be about to rotate it, and peers refuse it
 * by themselves.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** Between two looks at the files, ms. A change is taken up once two looks agree, so within twice that. */
export const CERT_FILES_INTERVAL_MS = 2_000;

/** Chains with a few intermediate certificates have some KiB, bundles of all public roots about 250. */
export const CERT_FILE_MAX_BYTES = 1024 * 1024;

/** From here on the end of a certificate is a warning. */
const EXPIRY_WARNING_MS = 24 * 3_600_000;

/** One context for every connection, and sessions resumed from it stay within the fence. */
const SESSION_CONTEXT = 'ringfence';

/** Reads one file whole; rejects with an Error whose message says why without any of the content. */
export type ReadCertFile = (file: string) => Promise<Uint8Array>;

export interface CertFilesOptions {
  /** PEM: the certificate, followed by its intermediate ones. */
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM; empty: none, where nobody's certificate is verified. */
  readonly caFile: string;
  readonly read: ReadCertFile;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Called after a change was taken up; `notAfterMs` is when the new certificate ends. */
  onChange(notAfterMs: number): void;
  /** What is wrong with the files or the certificate in use, or, undefined, that all is right again. */
  onProblem(why: string | undefined): void;
}

export interface CertFiles {
  /** Of the files as they were last good. */
  context(): SecureContext;
  /** When the certificate in use ends, ms since the epoch. */
  notAfterMs(): number;
  /** What was last given to `onProblem`. */
  problem(): string | undefined;
  /** Looks once. Calls that overlap share one look. Never rejects. */
  check(): Promise<void>;
  /** Looks every CERT_FILES_INTERVAL_MS from now on. */
  start(): void;
  stop(): void;
}

/** A file cannot be used; the message names it and says why, in one line without any of its content. */
export class CertFileError extends Error {
  override readonly name = 'CertFileError';
}

/** The files as they are, and what came of them. */
interface Loaded {
  readonly contents: readonly Uint8Array[];
  readonly context: SecureContext;
  readonly certificate: X509Certificate;
}

/** Reads the files once. Rejects with a CertFileError when one cannot be used. */
export async function openCertFiles(options: CertFilesOptions): Promise<CertFiles> {
  const first = await load(options);
  if (typeof first === 'string') throw new CertFileError(first);
  let used = first;
  let problem: string | undefined;
  /** What the last look saw and is not in use yet. */
  let seen: Loaded | string | undefined;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const settle = (why: string | undefined) => {
    if (why === problem) return;
    problem = why;
    options.onProblem(why);
  };
  const take = (found: Loaded | string) => {
    // One look may fall into the middle of somebody's writing, or between the files of one rotation.
    const twice = seen !== undefined && same(found, seen);
    seen = found;
    if (typeof found === 'string') {
      if (twice) settle(`the last good certificate stays in use: ${found}`);
      return;
    }
    if (!same(found, used)) {
      if (!twice) return;
      used = found;
      options.onChange(notAfter(used.certificate));
    }
    settle(ageOf(options.certFile, used.certificate, options.now()));
  };
  const check = (): Promise<void> => {
    looking ??= load(options)
      .then(take)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
  settle(ageOf(options.certFile, used.certificate, options.now()));
  return {
    context: () => used.context,
    notAfterMs: () => notAfter(used.certificate),
    problem: () => problem,
    check,
    start() {
      timer ??= setInterval(() => void check(), CERT_FILES_INTERVAL_MS);
      timer.unref();
    },
    stop: () => clearInterval(timer),
  };
}

/** The files as they are, or what is wrong with the first that cannot be used. */
async function load({ certFile, keyFile, caFile, read }: CertFilesOptions): Promise<Loaded | string> {
  const contents: Uint8Array[] = [];
  for (const file of [certFile, keyFile, ...(caFile === '' ? [] : [caFile])]) {
    try {
      contents.push(await read(file));
    } catch (error) {
      return `${file}: ${(error as Error).message}`;
    }
  }
  const [cert, key, ca] = contents.map((bytes) => Buffer.from(bytes)) as [Buffer, Buffer, Buffer | undefined];
  const certificate = attempt(() => new X509Certificate(cert));
  if (certificate === undefined) return `${certFile}: it holds no PEM certificate`;
  const privateKey = attempt<KeyObject>(() => createPrivateKey(key));
  if (privateKey === undefined) return `${keyFile}: it holds no PEM private key, or one that asks for a passphrase`;
  if (!certificate.checkPrivateKey(privateKey))
    return `${keyFile}: it is not the key of the certificate in ${certFile}`;
  if (ca !== undefined && attempt(() => new X509Certificate(ca)) === undefined) {
    return `${caFile}: it holds no PEM certificate`;
  }
  const context = attempt(() =>
    createSecureContext({
      cert,
      key,
      ...(ca === undefined ? {} : { ca }),
      minVersion: 'TLSv1.2',
      sessionIdContext: SESSION_CONTEXT,
    }),
  );
  if (context === undefined) return `${certFile}: it cannot be used for TLS with ${[keyFile, caFile].join(' and ')}`;
  return { contents, context, certificate };
}

/** What `make` gives; undefined when it throws. What OpenSSL says of a bad file is not repeated: it may quote from it. */
function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

function notAfter(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

function ageOf(file: string, certificate: X509Certificate, nowMs: number): string | undefined {
  const endsMs = notAfter(certificate);
  if (endsMs <= nowMs) return `${file}: the certificate has expired (${certificate.validTo})`;
  if (Date.parse(certificate.validFrom) > nowMs)
    return `${file}: the certificate is not valid yet (from ${certificate.validFrom})`;
  return endsMs - nowMs < EXPIRY_WARNING_MS
    ? `${file}: the certificate expires soon (${certificate.validTo})`
    : undefined;
}

function same(a: Loaded | string, b: Loaded | string): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  return a.contents.every((bytes, i) => Buffer.compare(bytes, b.contents[i] ?? new Uint8Array(0)) === 0);
}
