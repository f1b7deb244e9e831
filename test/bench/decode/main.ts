/** `npm run bench:decode`: the comparison in full. */
import { compareDecoders } from './compare.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);

const { corpusFrames, ours, go, ratio, bytesPerFrame, runs } = await compareDecoders(7, 1_000);
for (const pair of runs) say(JSON.stringify(pair));
say(`${corpusFrames} golden frames over and over, one core, medians of ${runs.length} interleaved runs:`);
say(`ringfence   ${Math.round(ours)} frames/s, ${Math.round(bytesPerFrame)} bytes allocated a frame`);
say(`memberlist  ${Math.round(go)} frames/s`);
say(`ratio       ${ratio.toFixed(2)}`);
