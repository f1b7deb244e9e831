/** `${NAME}` and `${NAME:-default}` in the scalars of a parsed file: after parsing, so that a value can never become structure. */
import type { Path } from './locate.ts';

/** A scalar is no longer than this once expanded. */
const EXPANDED_MAX_CHARACTERS = 65_536;

/** No field lies deeper than six levels; beyond this the walk would take the stack. */
const DEPTH_MAX = 32;

export interface Expansion {
  readonly value: unknown;
  readonly problems: readonly { readonly path: Path; readonly message: string }[];
  /** Paths of scalars that held a variable: their text may stand for a number or a boolean (pathKey). */
  readonly expanded: ReadonlySet<string>;
}

/** One string for a path, to look it up. */
export function pathKey(path: Path): string {
  return JSON.stringify(path);
}

/** Expands every string of `value` into a copy; a variable that is unset and has no default is a problem. */
export function expandVariables(value: unknown, env: Readonly<Record<string, string | undefined>>): Expansion {
  const problems: { path: Path; message: string }[] = [];
  const expanded = new Set<string>();
  // Aliases make cycles: whoever is being walked must not be met again.
  const within = new Set<object>();
  const walk = (node: unknown, path: Path): unknown => {
    if (typeof node === 'string') {
      if (!node.includes('${')) return node;
      expanded.add(pathKey(path));
      return expandText(node, env, (message) => problems.push({ path, message }));
    }
    if (node === null || typeof node !== 'object') return node;
    if (within.has(node) || path.length > DEPTH_MAX) {
      const message = within.has(node) ? 'an alias that holds itself' : `nested deeper than ${DEPTH_MAX} levels`;
      problems.push({ path, message });
      return null;
    }
    within.add(node);
    const out = Array.isArray(node) ? node.map((item, i) => walk(item, [...path, i])) : walkMap(node, path);
    within.delete(node);
    return out;
  };
  const walkMap = (node: object, path: Path): unknown => {
    const out: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(node)) {
      const at = [...path, key];
      // The one key whose assignment would not make an entry; no field has that name.
      if (key === '__proto__') problems.push({ path: at, message: 'unknown key' });
      else out[key] = walk(item, at);
    }
    return out;
  };
  return { value: walk(value, []), problems, expanded };
}

function expandText(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
  problem: (message: string) => void,
): string {
  const out = text.replace(/\$\{([^}]*)(\}?)/g, (whole, inside: string, close: string) => {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/.exec(inside);
    if (match === null || close === '') {
      problem(`a variable is written \${NAME} or \${NAME:-default}`);
      return whole;
    }
    const [, name = '', fallback] = match;
    const set = Object.hasOwn(env, name) ? env[name] : undefined;
    if (fallback !== undefined) return set === undefined || set === '' ? fallback : set;
    if (set !== undefined) return set;
    problem(`variable ${name} is not set (give it a value, or write \${${name}:-default})`);
    return whole;
  });
  if (out.length > EXPANDED_MAX_CHARACTERS) {
    problem(`longer than ${EXPANDED_MAX_CHARACTERS} characters once its variables are filled in`);
    return '';
  }
  return out;
}
