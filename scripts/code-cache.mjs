// Makes dist/*.cache: V8's code of each bundle after it has done its work once, so that a start compiles nothing anew.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

const TIMEOUT_MS = 30_000;
/** How long the fence runs before its code is taken, and how often a datagram comes meanwhile. */
const WARM_MS = 1_500;
const SEND_MS = 50;
const LABEL = 'warm';
/** Of the label header: its type. */
const HAS_LABEL = 244;

/** Writes a cache for each of `names` in `dist`, with the flags of the launcher and `first` run as it does: V8 compares the flags. */
export async function writeCodeCaches(dist, names, flags, first) {
  // Where koffi is found from.
  const dir = await mkdtemp(join(dist, 'warm-'));
  try {
    for (const name of names) {
      await copyFile(join(dist, `${name}.cjs`), join(dir, `${name}.cjs`));
      await writeFile(join(dir, `${name}.js`), (name === 'ringfence' ? first : '') + warm(join(dist, `${name}.cache`)));
    }
    const { config, listen } = await warmConfig();
    const file = join(dir, 'ringfence.json');
    await writeFile(file, JSON.stringify(config));
    await work([...flags, join(dir, 'ringfence.js'), 'run', '-c', file], listen);
    for (const name of names) await stat(join(dist, `${name}.cache`));
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Loads a bundle as scripts/load-bundle.cjs does, and writes its code when its thread ends. */
function warm(cache) {
  return `
    const { readFileSync, writeFileSync } = require('node:fs');
    const { Script } = require('node:vm');
    const file = __filename.replace(/js$/, 'cjs');
    const source = '(function(exports,require,module,__filename,__dirname){' + readFileSync(file, 'latin1') + '\\n})';
    const script = new Script(source, { filename: file });
    process.once('exit', () => writeFileSync(${JSON.stringify(cache)}, script.createCachedData()));
    script.runInThisContext()(exports, require, module, file, __dirname);
  `;
}

/** Runs a fence for a while, with datagrams to its port, and ends it. */
async function work(args, port) {
  const socket = createSocket('udp4');
  const datagram = Buffer.concat([Buffer.from([HAS_LABEL, LABEL.length]), Buffer.from(LABEL), Buffer.from([8, 0])]);
  const sending = setInterval(() => socket.send(datagram, port, '127.0.0.1', () => undefined), SEND_MS);
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: TIMEOUT_MS });
  // Twice: at once.
  const ending = [WARM_MS, WARM_MS + SEND_MS].map((waitMs) => setTimeout(() => child.kill('SIGTERM'), waitMs));
  try {
    const [code, signal] = await once(child, 'exit');
    if (code !== 0) throw new Error(`no code caches: the fence ended with ${code ?? signal}`);
  } finally {
    clearInterval(sending);
    for (const timer of ending) clearTimeout(timer);
    socket.close();
  }
}

/** A fence on loopback ports that are free now. */
async function warmConfig() {
  const [listen, app, admin] = await Promise.all([freePort(), freePort(), freePort()]);
  const at = (port) => `127.0.0.1:${port}`;
  const fence = {
    name: 'warm',
    cluster: LABEL,
    stage: 'accept',
    listen: at(listen),
    app: { address: at(app) },
    admit: { cidrs: ['127.0.0.0/8'] },
  };
  return { listen, config: { admin: { address: at(admin) }, fences: [fence] } };
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
