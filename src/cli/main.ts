/** The command line: one file a sub-command, loaded when it is called. */
import { Command, CommanderError } from 'commander';
import { DEFAULT_ADMIN } from './admin-client.ts';
import type { DemoFlags } from './demo.ts';
import { CliError, EXIT, oneLine } from './exit.ts';
import type { InspectFlags } from './inspect.ts';
import type { InterceptFlags } from './intercept.ts';
import type { StageFlags } from './stage.ts';
import type { StatusFlags } from './status.ts';
import { VERSION } from './version.ts';

/** Parses `argv` (without node and script) and carries it out; resolves with the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const finish = async (code: Promise<number> | number) => {
    exitCode = await code;
  };
  try {
    await createProgram(finish).parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof CliError) {
      for (const line of error.lines) process.stderr.write(`${line}\n`);
      return error.exitCode;
    }
    process.stderr.write(
      `ringfence: ${oneLine(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
    );
    return EXIT.failure;
  }
}

type Finish = (code: Promise<number> | number) => Promise<void>;

function createProgram(finish: Finish): Command {
  const program = new Command('ringfence')
    .description('A firewall in front of a memberlist gossip port, which keeps a ring to its own cluster.')
    .exitOverride()
    .showHelpAfterError('(ringfence --help says more)')
    .version(`ringfence ${VERSION}`, '-V, --version');
  addOffline(program, finish);
  program
    .command('run')
    .description('run the fences of a configuration')
    .requiredOption('-c, --config <file>', 'configuration file')
    .action(async ({ config }: { config: string }) => {
      const engines = (await import('./engines.ts')).createEngines();
      await engines.prepare(config);
      await finish((await import('./run.ts')).run(config, engines));
    });
  program
    .command('demo')
    .description('two small clusters on loopback, a recycled address, and what a fence makes of it')
    .option('--no-fence', 'the same clusters without fences: they merge')
    .option('--port <port>', 'port of the admin API on 127.0.0.1', '9746')
    .option('--net <net>', "first three numbers of the members' addresses", '127.0.71')
    .action(async (flags: DemoFlags) => finish((await import('./demo.ts')).demoCommand(flags)));
  program
    .command('intercept')
    .description('install the kernel rules of a transparent fence (needs NET_ADMIN, once)')
    .requiredOption('-c, --config <file>', 'configuration file')
    .option('--print', 'print what would be installed')
    .option('--remove', 'remove what was installed')
    .option('--fail-open', 'let gossip pass unfenced while the fence is down')
    .action(async ({ config, ...flags }: InterceptFlags & { config: string }) =>
      finish((await import('./intercept.ts')).intercept(config, flags)),
    );
  addOnline(program, finish);
  return program;
}

/** Sub-commands that need nothing but files. */
function addOffline(program: Command, finish: Finish): void {
  program
    .command('check-config')
    .description('say what is wrong with a configuration file')
    .argument('<file>', 'configuration file')
    .action(async (file: string) => finish((await import('./check-config.ts')).checkConfig(file)));
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .action(async () => finish((await import('./schema.ts')).printSchema()));
  const more = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
  program
    .command('inspect')
    .description('who is talking to my ring: reads a capture (pcap, pcapng, hex text; - for standard input)')
    .argument('<file>', 'capture, FIFO or -')
    .option('--json', 'as JSON; with --follow a line an event')
    .option('--follow', 'say findings as they come, and wait for more at the end of a file')
    .option('-v, --frames', 'say every decoded packet and TCP exchange too')
    .option('--label <text>', 'only what carries this label ("" for none)')
    .option('--key-file <file>', 'gossip keys, for encrypted gossip (may be repeated)', more)
    .option('--port <port>', 'gossip port, several, or any (default 7946)', more)
    .action(async (file: string, flags: InspectFlags) => finish((await import('./inspect.ts')).inspect(file, flags)));
  program
    .command('version')
    .description('print the version')
    .action(async () => {
      process.stdout.write(`ringfence ${VERSION}\n`);
      await finish(EXIT.ok);
    });
}

/** Sub-commands that ask a running fence. */
function addOnline(program: Command, finish: Finish): void {
  const online = (name: string) =>
    program
      .command(name)
      .option('--fence <name>', 'which fence')
      .option('--admin <url>', 'admin API of the fence', DEFAULT_ADMIN)
      .option('--token <token>', 'write token (or RINGFENCE_TOKEN)');
  const withToken = <Flags extends { token?: string }>(flags: Flags): Flags => {
    const { RINGFENCE_TOKEN } = process.env;
    const token = flags.token ?? RINGFENCE_TOKEN;
    return token === undefined ? flags : { ...flags, token };
  };
  online('stage')
    .description('change the stage of a running fence: observe, accept, label or enforce')
    .argument('<stage>', 'the stage to go to')
    .option('--force', 'take a step that is not known to be safe, or several at once')
    .action(async (stage: string, flags: StageFlags) =>
      finish((await import('./stage.ts')).setStage(stage, withToken(flags))),
    );
  online('status')
    .description('what a running fence says of itself')
    .option('--json', 'as JSON')
    .option('--fleet', 'every member: what it showed, and how far its fence is')
    .action(async (flags: StatusFlags) =>
      finish(
        flags.fleet === true
          ? (await import('./status-fleet.ts')).printFleet(withToken(flags))
          : (await import('./status.ts')).printStatus(withToken(flags)),
      ),
    );
}

// A reader that went away (`ringfence status | head`) is no failure of ours.
process.stdout.on('error', () => {});

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
  // Idle keep-alive sockets and the like must not hold up the end, but output that a pipe has not taken yet must get out.
  process.stdout.write('', () => process.exit());
});
