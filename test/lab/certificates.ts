/** Certificates for tests, made with openssl: an authority, and what it vouches for. */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Issued {
  /** A certificate for servers and clients alike, as memberlist's members have them. `names`: addresses and DNS names; none: a common name only. */
  issue(file: string, names: readonly string[]): Issued;
}

const SECONDS = 20;

/** Makes an authority whose files, and those of what it issues, stand in `dir` and can be read by everyone. */
export function createAuthority(dir: string, name: string): Authority {
  const files = (file: string) => ({ certFile: join(dir, `${file}.crt`), keyFile: join(dir, `${file}.key`) });
  const make = (file: string, args: readonly string[]): Issued => {
    const { certFile, keyFile } = files(file);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
    execFileSync('openssl', ['req', '-x509', ...key, '-out', certFile, '-days', '2', ...args], {
      timeout: SECONDS * 1_000,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for (const path of [certFile, keyFile]) chmodSync(path, 0o644);
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  };
  const own = make(name, ['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE']);
  return {
    ...own,
    issue(file, names) {
      const alternatives = names.map((entry) => (/^[\d.]+$|:/.test(entry) ? `IP:${entry}` : `DNS:${entry}`));
      return make(file, [
        ...['-CA', own.certFile, '-CAkey', own.keyFile, '-subj', `/CN=${file}`],
        ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'extendedKeyUsage=serverAuth,clientAuth'],
        ...(alternatives.length === 0 ? [] : ['-addext', `subjectAltName=${alternatives.join(',')}`]),
      ]);
    },
  };
}

/** Puts `issued` in the place of other files, as a rotation does. */
export function replace({ certFile, keyFile }: Pick<Issued, 'certFile' | 'keyFile'>, issued: Issued): void {
  writeFileSync(keyFile, issued.key);
  writeFileSync(certFile, issued.cert);
}
