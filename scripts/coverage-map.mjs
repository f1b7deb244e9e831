// What the tests of the pure core have to cover together: every file of it.
import { readdirSync } from 'node:fs';

const files = ['wire', 'policy', 'ring'].flatMap((room) =>
  readdirSync(`src/${room}`, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `src/${room}/${name}`),
);

export default () => files;
