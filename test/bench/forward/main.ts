/** `npm run bench:forward`: what inspection and shield cost the forwarding of labelled packets. Linux, root. */
import { compareForwarding } from './compare.ts';
import { PATHS, VARIANT_NAMES } from './stand.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);
const { ROUNDS: rounds = '9' } = process.env;

const results = await compareForwarding(PATHS, VARIANT_NAMES, Number(rounds), 1_500, (path, variant, sample) => {
  say(JSON.stringify({ path, variant, ...sample }));
});
say(
  `packets forwarded a second of the forwarding thread's time on a core (of the clock), medians of ${rounds} interleaved rounds:`,
);
for (const { path, rate, wallRate } of results) {
  for (const variant of VARIANT_NAMES) {
    const loss = (1 - rate[variant] / rate.plain) * 100;
    const wallLoss = (1 - wallRate[variant] / wallRate.plain) * 100;
    say(
      `${path.padEnd(12)} ${variant.padEnd(10)} ${Math.round(rate[variant])} (${Math.round(wallRate[variant])})  ${loss.toFixed(1)}% (${wallLoss.toFixed(1)}%) less than plain`,
    );
  }
}
