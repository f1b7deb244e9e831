/** Whom of a ring its own fences rejected, by the rows that each fence keeps a peer and a reason. */
import type { AdoptionRing, Seat } from './adoption-ring.ts';

interface Row {
  readonly peer: string;
  readonly direction: string;
  readonly kind: string;
  readonly reason: string;
  readonly wouldRejectAt: string | null;
  readonly count: number;
}

export interface OwnRejections {
  /** Frames of running members that any fence rejected since the last call about it, each row a sentence; none is how it should be. */
  grown(): Promise<readonly string[]>;
  /** Names of the members whose frames, or frames to whom, the fence of `seat` rejected since the last call about it. */
  of(seat: Seat): Promise<readonly string[]>;
  /** How many frames from or to `address` all fences rejected so far. */
  about(address: string, direction: 'inbound' | 'outbound'): Promise<number>;
}

export function createOwnRejections(ring: AdoptionRing): OwnRejections {
  /** Counts already told, by fence process and row: a fence that is started anew counts anew. */
  const told = new Map<string, number>();
  const rowsOf = async ({ name, fence }: Seat) => {
    if (fence === undefined) return [];
    const { fences } = (await fence.get('/api/v1/rejections?limit=500')) as {
      fences: [{ rejections: readonly Row[]; leftOut: number }];
    };
    const [{ rejections, leftOut }] = fences;
    if (leftOut > 0) throw new Error(`${name}'s fence left ${leftOut} rejections out of its rows`);
    return rejections.filter(({ wouldRejectAt }) => wouldRejectAt === null || wouldRejectAt === undefined);
  };
  const addressOf = ({ peer }: Row) => peer.replace(/:\d+$/, '');
  const grownOf = async (seat: Seat) => {
    const names = new Map(ring.running().map(({ name, address }) => [address, name]));
    const grown: { name: string; text: string }[] = [];
    for (const row of await rowsOf(seat)) {
      const name = names.get(addressOf(row));
      const key = `${seat.fence?.process().pid} ${addressOf(row)} ${row.direction} ${row.kind} ${row.reason}`;
      const more = row.count - (told.get(key) ?? 0);
      told.set(key, row.count);
      if (name === undefined || more === 0) continue;
      grown.push({
        name,
        text: `${seat.name}'s fence: ${more} ${row.direction} ${row.kind}s of ${name}: ${row.reason}`,
      });
    }
    return grown;
  };
  return {
    async grown() {
      const all = await Promise.all(ring.running().map(grownOf));
      return all.flat().map(({ text }) => text);
    },
    of: async (seat) => [...new Set((await grownOf(seat)).map(({ name }) => name))],
    async about(address, direction) {
      const rows = (await Promise.all(ring.running().map(rowsOf))).flat();
      return rows
        .filter((row) => addressOf(row) === address && row.direction === direction)
        .reduce((sum, { count }) => sum + count, 0);
    },
  };
}
