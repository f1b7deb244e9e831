/**
 * The engines that tests of fences run over, from one table: every test that drives a listen fence runs over both, or, where real peers
 * make it long, gives them to its fences in turn, so that one ring has both.
 */
import type { Test } from 'tap';

/** What the key `engine` of a fence may name beside auto. */
export const ENGINES = ['linux', 'portable'] as const;
export type EngineName = (typeof ENGINES)[number];

/**
 * By the fence's mode. A transparent fence has the Linux engine alone: it must bind and send from addresses that are not its own
 * (IP_TRANSPARENT), learn where a datagram was meant to go (control messages) and send raw packets; node's sockets can do none of these.
 */
export const ENGINES_OF = {
  listen: ENGINES,
  transparent: ['linux'],
} as const satisfies Readonly<Record<'listen' | 'transparent', readonly EngineName[]>>;

/** The engine of the `n`th fence where both take turns. */
export function engineInTurn(n: number): EngineName {
  return n % 2 === 0 ? 'linux' : 'portable';
}

/** The same test over each engine of a listen fence, one after the other. */
export function overEngines(
  t: Pick<Test, 'test'>,
  title: string,
  body: (t: Test, engine: EngineName) => Promise<void>,
  { skip = false }: { readonly skip?: string | false } = {},
): void {
  for (const engine of ENGINES_OF.listen) {
    const missing = engine === 'linux' && process.platform !== 'linux' && 'the Linux engine needs Linux';
    void t.test(`${engine}: ${title}`, { skip: skip || missing }, (t) => body(t, engine));
  }
}

/**
 * What stands in a configuration file, with `engine` set in every fence of it. Throws where a fence cannot have it, and for a text, so that
 * a test does not run over another engine than it says.
 */
export function withEngine(config: unknown, engine: EngineName): object {
  const { fences } = Object(config) as { fences?: unknown };
  if (!Array.isArray(fences)) throw new TypeError('a configuration without a list of fences');
  const one = (fence: object) => {
    const engines: readonly EngineName[] = ENGINES_OF['transparent' in fence ? 'transparent' : 'listen'];
    if (!engines.includes(engine)) throw new TypeError(`this fence has no ${engine} engine`);
    return { ...fence, engine };
  };
  return { ...Object(config), fences: fences.map((fence) => one(Object(fence))) };
}
