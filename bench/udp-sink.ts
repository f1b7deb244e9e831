/** The app of the UDP measures: what arrived, whether it was right, and what the sink itself lost. */
import type { Context } from './measure.ts';
import type { Packet } from './packets.ts';
import { type Program, start } from './processes.ts';

export interface Counts {
  readonly packets: number;
  readonly bad: number;
  readonly reordered: number;
  /** Dropped by the kernel because the sink was too slow. */
  readonly lost: number;
  readonly sources: number;
}

export interface Sink {
  readonly program: Program;
  counts(): Promise<Counts>;
  /** The same, before a new load, which numbers its datagrams anew. */
  begin(): Promise<Counts>;
  stop(): Promise<void>;
}

/** Starts an app at `listen` that expects the packet's body, or the whole of it where the proxy leaves the label on. */
export async function startSink(
  context: Context,
  listen: string,
  packet: Packet,
  { stripped, echo = false }: { readonly stripped: boolean; readonly echo?: boolean },
): Promise<Sink> {
  const expected = stripped ? packet.body : packet.labelled;
  const numberAt = expected.length - packet.body.length + packet.numberAt;
  const args = ['--listen', listen, '--body', expected.toString('hex'), '--seq-at', String(numberAt)];
  const program = start(context.programs('udp-sink'), [...args, '--echo', echo ? 'yes' : 'no'], {
    core: context.cores.load,
  });
  await program.line();
  const ask = async (word: string) => {
    program.write(`${word}\n`);
    return JSON.parse(await program.line()) as Counts;
  };
  return {
    program,
    counts: () => ask('count'),
    begin: () => ask('new'),
    stop: () => program.stop(),
  };
}

/** Throws when what arrived between the two was not what it must be. */
export function checkCounts(engine: string, before: Counts, after: Counts): void {
  if (after.bad > before.bad) throw new Error(`${engine}: ${after.bad - before.bad} wrong datagrams at the app`);
  if (after.reordered > before.reordered) {
    throw new Error(`${engine}: ${after.reordered - before.reordered} datagrams out of their order`);
  }
}
