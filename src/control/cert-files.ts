/**
 * The fence's certificate, its key and the CA, from files that are read again while it runs: a rotation needs no restart. Connections that are
 * open keep what they were opened with. Nothing of a key is in anything that this room says or throws.
 *
 * An expired certificate is in use like any other, and said: whoever starts the fence may be about to rotate it, and peers refuse it
 * by themselves.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { openWatchedFiles, type WatchedFiles } from './watched-files.ts';

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

export interface CertFiles extends Omit<WatchedFiles<Loaded>, 'value'> {
  /** Of the files as they were last good. */
  context(): SecureContext;
  /** When the certificate in use ends, ms since the epoch. */
  notAfterMs(): number;
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
  const watched = await openWatchedFiles<Loaded>({
    load: () => load(options),
    same: (a, b) => a.contents.every((bytes, i) => Buffer.compare(bytes, b.contents[i] ?? new Uint8Array(0)) === 0),
    onChange: ({ certificate }) => options.onChange(notAfter(certificate)),
    fault: ({ certificate }) => ageOf(options.certFile, certificate, options.now()),
    broken: (why) => `the last good certificate stays in use: ${why}`,
    onProblem: options.onProblem,
  });
  if (typeof watched === 'string') throw new CertFileError(watched);
  const { value, ...rest } = watched;
  return { context: () => value().context, notAfterMs: () => notAfter(value().certificate), ...rest };
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
