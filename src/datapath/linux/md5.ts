/**
 * MD5 by the one-shot function of the OpenSSL that node itself carries (openssl/md5.h `MD5`): for the few hundred bytes of a packet node's own
 * way takes nearly twice as long.
 */
import type { Md5 } from '../packet-look.ts';

const DIGEST_BYTES = 16;
/** RFC 1321, A.5. */
const OF_ABC = '900150983cd24fb0d6963f7d28e17f72';

/** What koffi makes of a prototype; throws where there is no such function. */
type Bind = (prototype: string) => (bytes: Uint8Array, length: number, into: Uint8Array) => unknown;

/** Undefined where node was built without it, or what has its name is something else. */
export function bindMd5(bind: Bind): Md5 | undefined {
  let call: ReturnType<Bind>;
  try {
    call = bind('size_t MD5(void *, size_t, void *)');
  } catch {
    return undefined;
  }
  const into = Buffer.from(new ArrayBuffer(DIGEST_BYTES));
  const md5: Md5 = (bytes) => {
    call(bytes, bytes.length, into);
    return new Uint8Array(into);
  };
  return Buffer.from(md5(Buffer.from('abc'))).toString('hex') === OF_ABC ? md5 : undefined;
}
