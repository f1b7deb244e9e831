/** From a path in the values to a line in the file. */
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type LineCounter, type Node } from 'yaml';

export type Path = readonly (string | number)[];

/** `fences[0].app.sends`; the empty path is the file itself. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const key = /^[\w-]{1,64}$/.test(part) ? part : JSON.stringify(part.slice(0, 64)).replace(/[^\x20-\x7e]/g, '?');
    return text === '' ? key : `${text}.${key}`;
  }, '');
}

/** The line (from 1) of `path`'s key or item, or of the deepest part of it that is in the file. */
export function lineOf(document: Document, lines: LineCounter, path: Path): number {
  let node: Node | null | undefined = document.contents;
  let at = startOf(node) ?? 0;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(part));
      if (pair === undefined) break;
      at = startOf(pair.key) ?? at;
      next = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      next = node.items[part];
      at = startOf(next) ?? at;
    } else break;
    node = isNode(next) ? next : undefined;
  }
  return lines.linePos(at).line;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
