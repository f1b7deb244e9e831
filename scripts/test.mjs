// What `npm test` runs. First the unit tests (with every line and function of the pure core covered), then the tests with real
// peers, which take namespaces, root and other programs. What the machine does not allow is left out, loudly; with CI=true nothing
// may be. Arguments are parts of the paths to run. The last line is `N passed, N failed`, counted in assertions.
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const tap = join(root, 'node_modules/.bin/tap');
const CI = process.env.CI === 'true';
const MINUTE_MS = 60_000;
/** Files at a time: the reference machine has two cores, and the tests with real peers mostly wait. */
const JOBS = 2;
/** Rooms of the pure core: 100% coverage is demanded of these, by their own tests. */
const PURE = ['wire', 'policy', 'ring'];
/** Folders whose tests need the real world. */
const REAL = ['interop', 'netns'];
/** These wait longest, so they start first. */
const FIRST = ['test/interop/adoption', 'test/interop/serf', 'test/interop/memberlist', 'test/interop/dskit'];

/** These load the machine so that others would fail for want of CPU: they run last, one at a time. */
const ALONE = ['test/interop/flood'];

const totals = { passed: 0, failed: 0, leftOut: [] };
const startedMs = Date.now();

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const files = readdirSync(join(root, 'test'), { recursive: true })
  // test/long is for `npm run ci:long`.
  .filter((name) => name.endsWith('.test.ts') && !name.startsWith('long/'))
  .map((name) => `test/${name}`)
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();
const room = (file) => file.split('/')[1];
const rank = (file) => {
  const place = FIRST.findIndex((prefix) => file.startsWith(prefix));
  return place < 0 ? FIRST.length : place;
};
const pure = files.filter((file) => PURE.includes(room(file)));
const alone = files.filter((file) => ALONE.some((prefix) => file.startsWith(prefix)));
const real = files
  .filter((file) => REAL.includes(room(file)) && !alone.includes(file))
  .toSorted((a, b) => rank(a) - rank(b));
const units = files.filter((file) => ![...pure, ...real, ...alone].includes(file));

// Not every branch: strict indexing asks for defaults (`bytes[i] ?? 0`) that no input reaches.
const covered = ['--branches=97', '--no-disable-coverage', '--coverage-map=scripts/coverage-map.mjs'];
await suite('pure core', pure, { timeoutMs: 8 * MINUTE_MS, fileTimeoutSeconds: 180, flags: covered });
await suite('rooms', units, { timeoutMs: 8 * MINUTE_MS, fileTimeoutSeconds: 180 });
await suite('real peers', real, { timeoutMs: 30 * MINUTE_MS, fileTimeoutSeconds: 480 });
await suite('alone', alone, { timeoutMs: 8 * MINUTE_MS, fileTimeoutSeconds: 480, jobs: 1 });
report();

/** Runs `paths` with tap and adds to the totals. Bounded in time; whatever it still runs then is killed. */
async function suite(title, paths, { timeoutMs, fileTimeoutSeconds, flags = ['--disable-coverage'], jobs = JOBS }) {
  if (paths.length === 0) {
    console.log(`\n${title}: NO TESTS`);
    return;
  }
  console.log(`\n${title}: ${paths.length} files`);
  const args = [tap, '--reporter=tap', `--jobs=${jobs}`, `--timeout=${fileTimeoutSeconds}`];
  const child = spawn(process.execPath, [...args, '--allow-empty-coverage', ...flags, ...paths], {
    cwd: root,
    // A process group of its own, so that a run that overstays can be ended with everything in it.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let overstayed = false;
  const endGroup = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Gone already.
    }
  };
  const timer = setTimeout(() => {
    overstayed = true;
    endGroup('SIGKILL');
  }, timeoutMs);
  const onSignal = (signal) => {
    endGroup('SIGKILL');
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const parser = tapReader();
  child.stdout.setEncoding('utf8').on('data', parser.write);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  const { passed, failed } = parser.end();
  totals.passed += passed;
  // A run that failed without a failed assertion (coverage, a crash, the bound) is a failure too.
  totals.failed += failed === 0 && code !== 0 ? 1 : failed;
  if (overstayed) console.log(`NOT DONE AFTER ${timeoutMs / MINUTE_MS} MINUTES: ${title} KILLED`);
  else if (code !== 0) console.log(`${title}: tap ended with ${code}`);
  // tap's own table gets lost at times, on its way through a pipe.
  if (code !== 0 && flags.includes('--no-disable-coverage')) {
    spawnSync(process.execPath, [tap, 'report', 'text'], { cwd: root, stdio: ['ignore', 'inherit', 'ignore'] });
  }
  if (passed === 0) {
    console.log(`${title}: NOTHING PASSED`);
    if (failed === 0 && CI) totals.failed++;
  }
}

/** Reads tap's output: a line a file, the whole of a file that failed, what was skipped, and the counts at the end. */
function tapReader() {
  let rest = '';
  let block = [];
  const counts = { passed: 0, failed: 0 };
  const line = (text) => {
    const skip = /^\s+ok \d+ - (.*?)\s*# SKIP ?(.*)$/i.exec(text);
    if (skip !== null) totals.leftOut.push(`${skip[1]}: ${skip[2]}`);
    const summary = /^# \{ total: \d+(.*) \}$/.exec(text);
    if (summary !== null) {
      counts.passed += Number(/pass: (\d+)/.exec(summary[1])?.[1] ?? 0);
      counts.failed += Number(/fail: (\d+)/.exec(summary[1])?.[1] ?? 0);
    }
    block.push(text);
    const file = /^(not )?ok \d+ - (\S+)(?:.*# time=([\d.]+)ms)?/.exec(text);
    if (file !== null) {
      if (file[1] !== undefined) console.log(block.join('\n'));
      else console.log(`  ok ${file[2]} ${(Number(file[3] ?? 0) / 1000).toFixed(1)} s`);
      block = [];
    } else if (/^# Subtest: /.test(text)) {
      block = [text];
    }
  };
  return {
    write(chunk) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(line);
    },
    end() {
      if (rest !== '') line(rest);
      const kept = block.filter((text) => text.trim() !== '' && !/^# (time|\{|No coverage)|\|/.test(text));
      if (kept.length > 0) console.log(kept.join('\n'));
      return counts;
    },
  };
}

function report() {
  if (files.length === 0) {
    console.log('NO TEST FILE MATCHES');
    totals.failed++;
  }
  if (totals.leftOut.length > 0) {
    console.log('');
    for (const what of totals.leftOut) console.log(`LEFT OUT: ${what.replace(/LEFT OUT: /, '').toUpperCase()}`);
    if (CI) {
      console.log('CI=true: NOTHING MAY BE LEFT OUT');
      totals.failed += totals.leftOut.length;
    }
  }
  console.log(`\n${((Date.now() - startedMs) / 1000).toFixed(0)} s in all`);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  process.exitCode = totals.failed > 0 ? 1 : 0;
}
