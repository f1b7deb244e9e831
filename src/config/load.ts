/** A configuration file to values: read, parsed, variables filled in, checked. Whatever is wrong with it becomes one line each. */
import { readFileSync, statSync } from 'node:fs';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { expandVariables, pathKey } from './expand.ts';
import { describeIssue } from './issues.ts';
import { formatPath, lineOf, type Path } from './locate.ts';
import { findNotes } from './notes.ts';
import { resolveFence } from './resolve.ts';
import { findProblems, type Problem } from './rules.ts';
import { type ConfigFile, configSchema } from './schema.ts';
import type { Config } from './types.ts';
import { parseEndpoint } from './units.ts';

/** A file of 64 fences with all their rules is far below it. */
export const CONFIG_MAX_BYTES = 1024 * 1024;

/** Aliases that a file may use; more are a bomb. */
const ALIASES_MAX = 100;

/** Further problems are only counted. */
const PROBLEMS_SHOWN_MAX = 20;

/** The file is no configuration; exit code 78. `lines` holds one line a problem, `FILE:LINE: path: what is wrong`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly lines: readonly string[];
  constructor(lines: readonly string[], options?: ErrorOptions) {
    super(lines.join('\n'), options);
    this.lines = lines;
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/** Reads and checks `file`. Throws a ConfigError. */
export function loadConfig(file: string, env: Env): Config {
  return parseConfig(readConfigText(file), file, env);
}

/** The text of `file`. Throws a ConfigError. */
export function readConfigText(file: string): string {
  try {
    const stat = statSync(file);
    // A pipe or a device may never end.
    if (!stat.isFile() && !stat.isDirectory()) throw new Error('it is no regular file');
    const { size } = stat;
    if (size > CONFIG_MAX_BYTES)
      throw new Error(`it has ${size} bytes; a configuration has at most ${CONFIG_MAX_BYTES}`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError([`${file}: cannot be read: ${readError(error)}`], { cause: error });
  }
}

/** Checks `text` as `file` would be. Throws a ConfigError. */
export function parseConfig(text: string, file: string, env: Env): Config {
  const lines = new LineCounter();
  const document = parseYaml(text, file, lines);
  const complain = (problems: readonly Problem[]): never => {
    throw new ConfigError(formatProblems(problems, file, (path) => lineOf(document, lines, path)));
  };
  const { value, problems, expanded } = expandVariables(toValues(document, file), env);
  if (problems.length > 0) complain(problems);
  if (value === null || value === undefined) complain([{ path: [], message: 'the file holds no configuration' }]);
  const checked = check(value, expanded);
  if (!checked.ok) return complain(checked.problems);
  const found = findProblems(checked.file);
  if (found.length > 0) complain(found);
  const { admin, log, fences } = checked.file;
  const address = parseEndpoint(admin.address);
  if (address === undefined) throw new TypeError('admin.address was checked');
  const resolved = fences.map(resolveFence);
  const notes = findNotes(checked.file, value, resolved).map(({ level, path, message }) => ({
    level,
    text: `${file}:${lineOf(document, lines, path)}: ${formatPath(path)}: ${message}`,
  }));
  const stateFile = checked.file.stateFile === '' ? undefined : checked.file.stateFile;
  return {
    fences: resolved,
    admin: { address, writeToken: admin.writeToken },
    stateFile,
    log,
    notes,
    file: checked.file,
  };
}

function parseYaml(text: string, file: string, lineCounter: LineCounter): Document {
  let document: Document;
  try {
    document = parseDocument(text, { lineCounter, prettyErrors: false, stringKeys: true, logLevel: 'error' });
  } catch (error) {
    throw new ConfigError([`${file}:1: not YAML that can be read: ${firstLine(error)}`], { cause: error });
  }
  const broken = document.errors[0] ?? document.warnings[0];
  if (broken === undefined) return document;
  const { line } = lineCounter.linePos(broken.pos[0]);
  const what =
    broken.code === 'MULTIPLE_DOCS' ? 'a second document starts here; a configuration is one' : firstLine(broken);
  throw new ConfigError([`${file}:${line}: YAML: ${what}`]);
}

function toValues(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    throw new ConfigError([`${file}:1: YAML: ${firstLine(error)}`], { cause: error });
  }
}

type Checked = { ok: true; file: ConfigFile } | { ok: false; problems: Problem[] };

/** Checks against the schema. Text that came from variables may stand for a number or a boolean where one is wanted. */
function check(value: unknown, expanded: ReadonlySet<string>): Checked {
  const first = configSchema.safeParse(value, { reportInput: true });
  if (first.success) return { ok: true, file: first.data };
  let converted = false;
  for (const issue of first.error.issues) {
    const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
    if (issue.code !== 'invalid_type' || !expanded.has(pathKey(path))) continue;
    converted = convert(value, path, issue.expected) || converted;
  }
  const last = converted ? configSchema.safeParse(value, { reportInput: true }) : first;
  if (last.success) return { ok: true, file: last.data };
  return { ok: false, problems: last.error.issues.flatMap(describeIssue) };
}

function convert(root: unknown, path: Path, expected: string): boolean {
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((node, part) => (node as Record<string | number, unknown>)[part], root);
  const holder = parent as Record<string | number, unknown>;
  const key = path.at(-1) ?? '';
  const text = String(holder[key]);
  if ((expected === 'number' || expected === 'int') && /^\d{1,15}$/.test(text)) holder[key] = Number(text);
  else if (expected === 'boolean' && (text === 'true' || text === 'false')) holder[key] = text === 'true';
  else return false;
  return true;
}

function formatProblems(problems: readonly Problem[], file: string, line: (path: Path) => number): string[] {
  const located = problems.map(({ path, message }) => ({ at: line(path), path, message }));
  located.sort((a, b) => a.at - b.at);
  const shown = located.slice(0, PROBLEMS_SHOWN_MAX).map(({ at, path, message }) => {
    const where = formatPath(path);
    return `${file}:${at}: ${where === '' ? '' : `${where}: `}${message}`;
  });
  const more = located.length - shown.length;
  return more > 0 ? [...shown, `${file}: and ${more} more problems`] : shown;
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // The parser says it as an error of its own or throws it.
  if (text.startsWith('Maximum call stack')) return 'nested too deeply';
  return (text.split('\n', 1)[0] ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}

function readError(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'EISDIR') return 'it is a directory';
  return firstLine(error);
}
