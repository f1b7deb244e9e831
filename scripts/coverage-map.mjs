// Which source a test of the pure core has to cover: the file that it mirrors. Tests without a mirror cover nothing of their own.
import { existsSync } from 'node:fs';

export default (test) => {
  const source = test.replace(/^test\//, 'src/').replace(/\.test\.ts$/, '.ts');
  return existsSync(source) ? source : null;
};
