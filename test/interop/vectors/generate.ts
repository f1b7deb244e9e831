/**
 * Writes test/fixtures/vectors/*.json anew. Sequence numbers and the order of gossip change from run to run, so a run is a change to
 * review. Through tap's loader: `node --import @isaacs/ts-node-temp-fork-for-pr-2009/import test/interop/vectors/generate.ts`
 */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildVectors, MEMBERLIST_VERSIONS, type VectorOrigin } from '../build.ts';

const target = join(import.meta.dirname, '..', '..', 'fixtures', 'vectors');
const FORK = 'github.com/grafana/memberlist@v0.3.1-0.20260515134459-1798cf41aca7';
const DSKIT = 'github.com/grafana/dskit@v0.0.0-20260703122047-de1ec7541c44';
const ALERTMANAGER = 'github.com/prometheus/alertmanager@v0.34.0';
const TIMEOUT_MS = 180_000;

async function write(name: string, origin: VectorOrigin, words: string, lengths: string) {
  const program = await buildVectors(origin);
  const { stdout } = await promisify(execFile)(program, [words, lengths], {
    timeout: TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  JSON.parse(stdout);
  writeFileSync(join(target, `${name}.json`), stdout);
}

mkdirSync(target, { recursive: true });
for (const version of MEMBERLIST_VERSIONS) {
  const module = `github.com/hashicorp/memberlist@${version}`;
  await write(`memberlist-${version}`, version, module, version === 'v0.6.0' ? 'full' : 'partial');
}
await write('dskit', 'dskit', `${FORK} and ${DSKIT}`, 'partial');
await write('alertmanager', 'alertmanager', ALERTMANAGER, 'partial');
