/** The rules of the house, as tests: who may import whom, what the pure core may touch, names and sizes of files. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { REASON_SENTENCES, REJECT_REASONS } from '../src/policy/reason.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const SRC = path.join(ROOT, 'src');
const LINES_MAX = 250;

const MIDDLE = ['control', 'datapath', 'admin', 'k8s', 'config', 'telemetry'];
const CORE = ['wire', 'policy', 'ring'];

/** Rooms whose values a room may import, besides its own. Types may come from these and from TYPES. */
const VALUES: Record<string, readonly string[]> = {
  wire: [],
  policy: ['wire'],
  ring: ['wire', 'policy'],
  ...Object.fromEntries(MIDDLE.map((room) => [room, CORE])),
  demo: ['wire'],
  cli: [...CORE, ...MIDDLE, 'demo'],
};
const TYPES: Record<string, readonly string[]> = {
  ...Object.fromEntries(MIDDLE.map((room) => [room, MIDDLE])),
  demo: ['policy', 'ring', ...MIDDLE],
};

/** node: modules that the pure core may import: no socket, clock or process in them (of node:net only what is a value). */
const CORE_MODULES: Record<string, Record<string, readonly string[] | 'all'>> = {
  wire: { 'node:crypto': 'all', 'node:zlib': 'all', 'node:buffer': 'all' },
  policy: { 'node:net': ['BlockList', 'isIP', 'isIPv4', 'isIPv6'] },
  ring: { 'node:net': ['BlockList', 'isIP', 'isIPv4', 'isIPv6'] },
};
const CORE_GLOBALS_BANNED = new Set([
  ...['process', 'Date', 'performance', 'console', 'fetch', 'globalThis'],
  ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'],
]);

/** Packages, and the rooms that may import them. */
const PACKAGES: Record<string, readonly string[]> = {
  commander: ['cli'],
  koffi: ['datapath'],
  pino: ['telemetry'],
  'prom-client': ['telemetry'],
  snappyjs: ['wire'],
  yaml: ['config'],
  zod: ['config'],
};

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
  readonly names: readonly string[];
}

/** Every import of a source text: static, re-exported, dynamic, and workers by URL. */
function importsOf(source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const bindings = node.importClause?.namedBindings;
      const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : [];
      const names = named.map((element) => (element.propertyName ?? element.name).text);
      const whole = node.importClause?.name !== undefined || (bindings !== undefined && ts.isNamespaceImport(bindings));
      const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      found.push({ from: node.moduleSpecifier.text, typeOnly, names: whole ? ['*'] : names });
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ from: node.moduleSpecifier.text, typeOnly: node.isTypeOnly, names: ['*'] });
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      const from = argument !== undefined && ts.isStringLiteralLike(argument) ? argument.text : '(not a literal)';
      found.push({ from, typeOnly: false, names: ['*'] });
    } else if (ts.isNewExpression(node) && node.expression.getText(source) === 'URL') {
      const [first, base] = node.arguments ?? [];
      const relative =
        base?.getText(source) === 'import.meta.url' && first !== undefined && ts.isStringLiteralLike(first);
      if (relative && /\.[cm]?[jt]s$/.test(first.text)) found.push({ from: first.text, typeOnly: false, names: ['*'] });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function roomOf(file: string): string {
  return path.relative(SRC, file).split(path.sep)[0] ?? '';
}

function importFault(file: string, { from, typeOnly, names }: Import): string | undefined {
  const room = roomOf(file);
  if (from.startsWith('.')) {
    const target = path.resolve(path.dirname(file), from);
    const other = roomOf(target);
    if (other === room) return undefined;
    if (!target.startsWith(SRC + path.sep)) return room === 'cli' ? undefined : `imports ${from}, outside of src`;
    if (VALUES[room]?.includes(other)) return undefined;
    if (typeOnly && TYPES[room]?.includes(other)) return undefined;
    return `${room} may not import ${typeOnly ? 'types' : 'values'} of ${other} (${from})`;
  }
  if (from.startsWith('node:')) {
    const allowed = CORE_MODULES[room];
    if (allowed === undefined) return undefined;
    const may = allowed[from] ?? [];
    return may === 'all' || (may.length > 0 && names.every((name) => may.includes(name)))
      ? undefined
      : `the pure core may not import ${names.join(', ')} of ${from}`;
  }
  const rooms = PACKAGES[from];
  return rooms?.includes(room) ? undefined : `${room} may not import the package ${from}`;
}

/** Names of sockets, clocks and the process that a source of the pure core uses without importing them. */
function bannedGlobals(source: ts.SourceFile): string[] {
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node)) {
      if (node.getText(source) === 'Math.random') found.add('Math.random');
      visit(node.expression);
      return;
    }
    const named = (ts.isPropertyAssignment(node) || ts.isPropertySignature(node)) && ts.isIdentifier(node.name);
    if (ts.isIdentifier(node) && CORE_GLOBALS_BANNED.has(node.text)) found.add(node.text);
    ts.forEachChild(node, (child) => (named && child === node.name ? undefined : visit(child)));
  };
  visit(source);
  return [...found];
}

/** What is wrong with one file. */
function faults(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const out = importsOf(source).flatMap((one) => importFault(file, one) ?? []);
  if (CORE.includes(roomOf(file))) out.push(...bannedGlobals(source).map((name) => `the pure core uses ${name}`));
  const lines = text.split('\n').length - 1;
  if (lines > LINES_MAX) out.push(`${lines} lines, of at most ${LINES_MAX}`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.ts$/.test(path.basename(file))) out.push('its name is not kebab-case');
  return out.map((fault) => `${path.relative(ROOT, file)}: ${fault}`);
}

const FILES = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => path.join(entry.parentPath, entry.name));

t.test('every file of src keeps to the rules of the house', async (t) => {
  t.ok(FILES.length > 20, `${FILES.length} files`);
  for (const file of FILES) t.strictSame(faults(file, readFileSync(file, 'utf8')), [], path.relative(SRC, file));
});

t.test('every room of src has its place in the house', async (t) => {
  for (const room of new Set(FILES.map(roomOf))) t.ok(VALUES[room] !== undefined, room);
});

t.test('the rules can be broken', async (t) => {
  const broken = (file: string, text: string) => faults(path.join(SRC, file), text).length;
  const bad: [string, string][] = [
    ['wire/x.ts', "import { decide } from '../policy/decide.ts';"],
    ['wire/x.ts', "import type { Decision } from '../policy/decide.ts';"],
    ['policy/x.ts', "import type { PeerTable } from '../ring/peers.ts';"],
    ['ring/x.ts', "export { StartError } from '../datapath/engine.ts';"],
    ['admin/x.ts', "import { StartError } from '../datapath/engine.ts';"],
    ['admin/x.ts', "import { type Fault, StartError } from '../datapath/engine.ts';"],
    ['admin/x.ts', "const x = await import('../datapath/engine.ts');"],
    ['config/x.ts', 'const x = await import(name);'],
    ['telemetry/x.ts', "new Worker(new URL('../datapath/linux/engine-worker.ts', import.meta.url));"],
    ['datapath/x.ts', "import { run } from '../cli/run.ts';"],
    ['datapath/x.ts', "import type { Run } from '../cli/run.ts';"],
    ['demo/x.ts', "import { decide } from '../policy/decide.ts';"],
    ['datapath/x.ts', "import { z } from 'zod';"],
    ['admin/x.ts', "import left from 'left-pad';"],
    ['policy/x.ts', "import { createServer } from 'node:net';"],
    ['policy/x.ts', "import net from 'node:net';"],
    ['ring/x.ts', "import 'node:net';\nimport fs from 'node:fs';"],
    ['wire/x.ts', "import { Socket } from 'node:dgram';"],
    ['ring/x.ts', 'const now = Date.now();'],
    ['wire/x.ts', 'const seed = Math.random();'],
    ['policy/x.ts', 'process.exit(1);'],
    ['wire/x.ts', '\n'.repeat(LINES_MAX + 1)],
    ['wire/camelCase.ts', ''],
    ['wire/snake_case.ts', ''],
  ];
  for (const [file, text] of bad) t.ok(broken(file, text) > 0, `${file}: ${text.trim() || 'its name or length'}`);
  const good: [string, string][] = [
    ['policy/x.ts', "import { BlockList, isIPv4 } from 'node:net';"],
    ['admin/x.ts', "import type { Fault } from '../datapath/engine.ts';"],
    ['datapath/linux/x.ts', "import { peek } from '../streams.ts';\nimport koffi from 'koffi';"],
    ['demo/x.ts', "import { peek } from '../wire/label.ts';\nimport type { Fault } from '../datapath/engine.ts';"],
    ['cli/x.ts', "const { runDemo } = await import('../demo/demo.ts');"],
    ['ring/x.ts', 'const row = { process: 1 };\nrow.process;'],
    ['wire/x.ts', '\n'.repeat(LINES_MAX)],
  ];
  for (const [file, text] of good) t.equal(broken(file, text), 0, `${file}: ${text.trim()}`);
});

t.test('every reason has a sentence', async (t) => {
  for (const reason of REJECT_REASONS) t.match(REASON_SENTENCES[reason], /\w+ .*\.$/, reason);
});
