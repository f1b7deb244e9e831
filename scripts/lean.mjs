// Plugin of the bundler: what a start would load and a fence hardly ever needs comes when it is first used, or not at all.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Parts of node that commands other than a plain `run` use (kernel rules, TLS, DNS), or that packages ask for and never use here. */
const LATE = ['child_process', 'cluster', 'dns', 'dns/promises', 'https', 'tls', 'zlib'];
/** The metrics page uses prom-client's registry and text format only: not its aggregator of clusters, its pushes, its own collectors. */
const REGISTRY = `export { default as Registry } from 'prom-client/lib/registry.js';`;

/** A module with node's own names, each of which loads it when it is read. */
function late(name) {
  const names = Object.keys(require(`node:${name}`)).filter((key) => /^[A-Za-z_$][\w$]*$/.test(key));
  const getters = names.map((key) => `get ${key}(){return require('node:${name}').${key}}`);
  return `module.exports = {${getters.join(',')}};`;
}

export const lean = {
  name: 'lean',
  setup(build) {
    const resolveDir = new URL('..', import.meta.url).pathname;
    build.onResolve({ filter: new RegExp(`^(node:)?(${LATE.join('|')})$`) }, ({ path, namespace }) =>
      namespace === 'late' ? undefined : { path: path.replace(/^node:/, ''), namespace: 'late' },
    );
    build.onLoad({ filter: /.*/, namespace: 'late' }, ({ path }) => ({ contents: late(path), resolveDir }));
    build.onResolve({ filter: /^prom-client$/ }, () => ({ path: 'prom-client', namespace: 'registry' }));
    build.onLoad({ filter: /.*/, namespace: 'registry' }, () => ({ contents: REGISTRY, resolveDir }));
  },
};
