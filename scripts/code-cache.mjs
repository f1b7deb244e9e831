// Makes dist/*.cache: V8's code of each bundle after it has done its work once, so that a start compiles nothing anew.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TIMEOUT_MS = 30_000;
/** How long the fence runs before its code is taken. */
const WARM_MS = 1_500;

/** Writes a cache for each of `names` in `dist`, with the flags of the launcher and `first` run as it does: V8 compares the flags. */
export async function writeCodeCaches(dist, names, flags, first) {
  const dir = await mkdtemp(join(tmpdir(), 'ringfence-cache-'));
  try {
    const config = join(dir, 'ringfence.json');
    await writeFile(config, JSON.stringify(await warmConfig()));
    for (const name of names) {
      // The engine's thread blocks once it runs: its code is taken as it is loaded.
      const argv = name === 'ringfence' ? ['run', '-c', config] : [];
      const made = spawnSync(process.execPath, [...flags, '-e', `${first}${warm(join(dist, name), argv)}`], {
        stdio: ['ignore', 'ignore', 'inherit'],
        timeout: TIMEOUT_MS,
      });
      if (made.status !== 0) throw new Error(`no code cache of ${name}: ended with ${made.status ?? made.signal}`);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** A program that loads a bundle as scripts/load-bundle.cjs does, lets it work a while, and writes its code. */
function warm(path, argv) {
  return `
    const { readFileSync, writeFileSync } = require('node:fs');
    const { Script } = require('node:vm');
    const file = ${JSON.stringify(`${path}.cjs`)};
    const source = '(function(exports,require,module,__filename,__dirname){' + readFileSync(file, 'latin1') + '\\n})';
    const script = new Script(source, { filename: file });
    process.argv = [process.execPath, file, ...${JSON.stringify(argv)}];
    setTimeout(() => {
      writeFileSync(${JSON.stringify(`${path}.cache`)}, script.createCachedData());
      process.exit(0);
    }, ${argv.length > 0 ? WARM_MS : 0});
    script.runInThisContext()(exports, require('node:module').createRequire(file), module, file, ${JSON.stringify(path.replace(/[^/]*$/, ''))});
  `;
}

/** A fence on loopback ports that are free now. */
async function warmConfig() {
  const [listen, app, admin] = await Promise.all([freePort(), freePort(), freePort()]);
  const at = (port) => `127.0.0.1:${port}`;
  const fence = {
    name: 'warm',
    cluster: 'warm',
    stage: 'accept',
    listen: at(listen),
    app: { address: at(app) },
    admit: { cidrs: ['127.0.0.0/8'] },
  };
  return { admin: { address: at(admin) }, fences: [fence] };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
