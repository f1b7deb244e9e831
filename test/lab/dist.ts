/** A copy of the built fence that the fence's own user can read: the checkout may lie under a directory that it cannot. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The user that a fence of the lab runs under, as in the image. */
export const FENCE_UID = 7946;

export interface Dist {
  /** Directory of the copy, which every user may enter: the fences' files go there too. */
  readonly root: string;
  /** The node binary to run it with. */
  readonly node: string;
  /** `ringfence.js` of the copy. */
  readonly entry: string;
  remove(): void;
}

/** Copies dist/ (or RINGFENCE_DIST) and koffi; throws when there is no build. */
export function copyDist(): Dist {
  const root = join(import.meta.dirname, '..', '..');
  const { RINGFENCE_DIST: source = join(root, 'dist') } = process.env;
  if (!existsSync(join(source, 'ringfence.js'))) throw new Error(`no build in ${source}: run "npm run build" first`);
  const dir = mkdtempSync(join(tmpdir(), `ringfence-lab-${process.pid}-`));
  chmodSync(dir, 0o755);
  cpSync(source, join(dir, 'dist'), { recursive: true });
  const modules = nodeModulesOf('koffi');
  for (const name of ['koffi', '@koromix']) {
    if (!existsSync(join(modules, name))) continue;
    cpSync(join(modules, name), join(dir, 'node_modules', name), { recursive: true, dereference: true });
  }
  cpSync(join(root, 'package.json'), join(dir, 'package.json'));
  if (spawnSync('chmod', ['-R', 'a+rX', dir]).status !== 0) throw new Error(`cannot make ${dir} readable`);
  return { root: dir, node: readableNode(dir), entry: join(dir, 'dist', 'ringfence.js'), remove: () => remove(dir) };
}

function remove(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
}

function nodeModulesOf(name: string): string {
  const entry = createRequire(import.meta.url).resolve(name);
  const at = entry.lastIndexOf('/node_modules/');
  return at < 0 ? dirname(entry) : entry.slice(0, at + '/node_modules'.length);
}

/** This process's node, or a copy of it where the fence's user cannot execute it (a version manager under /root). */
function readableNode(dir: string): string {
  const asUser = ['--reuid', String(FENCE_UID), '--regid', String(FENCE_UID), '--clear-groups'];
  if (spawnSync('setpriv', [...asUser, 'test', '-x', process.execPath]).status === 0) return process.execPath;
  const copy = join(dir, 'bin', 'node');
  mkdirSync(dirname(copy));
  cpSync(process.execPath, copy, { dereference: true });
  chmodSync(dirname(copy), 0o755);
  chmodSync(copy, 0o755);
  return copy;
}
