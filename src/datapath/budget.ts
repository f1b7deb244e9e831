/**
 * Budgets of bytes that the streams of one direction share. None of them says no at once: what finds no room waits for it, and its own
 * time-out ends the waiting.
 */

/** The share of one stream in what is held. */
export interface HoldClaim {
  /** Counts bytes that were read and are held. False: nothing more should be read before `onRoom` is called. */
  take(bytes: number): boolean;
  /** Gives everything back; may be called again. */
  release(): void;
}

/**
 * Bytes held of streams that wait for the rest of themselves. The room of one stream is kept free, and only one stream at a time
 * may use it: so streams that together fill the budget cannot wait for each other. Overshoots by one read of each stream.
 */
export class HoldBudget {
  readonly #sharedBytes: number;
  /** In the order of arrival. */
  readonly #claims = new Set<Claim>();
  /** Whose reading goes on while the shared room is used up. */
  #privileged: Claim | undefined;
  #used = 0;

  /** `streamBytes`: the bound of one stream, which each stream keeps by itself. */
  constructor(totalBytes: number, streamBytes: number) {
    this.#sharedBytes = totalBytes - streamBytes;
  }

  /** `onRoom` is called once after each time that `take` gave false, when there is room. */
  claim(onRoom: () => void): HoldClaim {
    const claim: Claim = { bytes: 0, onRoom, waiting: false };
    this.#claims.add(claim);
    return {
      take: (bytes) => {
        if (!this.#claims.has(claim)) return true;
        claim.bytes += bytes;
        this.#used += bytes;
        claim.waiting = !this.#mayRead(claim);
        return !claim.waiting;
      },
      release: () => {
        if (!this.#claims.delete(claim)) return;
        this.#used -= claim.bytes;
        if (this.#privileged === claim) this.#privileged = undefined;
        this.#wake();
      },
    };
  }

  used(): number {
    return this.#used;
  }

  #mayRead(claim: Claim): boolean {
    if (this.#used < this.#sharedBytes) return true;
    this.#privileged ??= claim;
    return this.#privileged === claim;
  }

  #wake(): void {
    for (const claim of this.#claims) {
      if (!claim.waiting || !this.#mayRead(claim)) continue;
      claim.waiting = false;
      claim.onRoom();
    }
  }
}

interface Claim {
  bytes: number;
  readonly onRoom: () => void;
  waiting: boolean;
}

/** What one stream makes its receiver reserve. */
export interface AnnouncedClaim {
  /** Gives the room back, or ends the waiting; may be called again. */
  release(): void;
}

/** Bytes that open streams make their receiver reserve (wire-protocol §6 row 8). Whoever fits goes first; of those, the oldest. */
export class AnnouncedBudget {
  readonly #totalBytes: number;
  readonly #waiting = new Set<{ readonly bytes: number; readonly onRoom: () => void }>();
  #used = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** Calls `onRoom` as soon as `bytes` have room, at once where they have; undefined when they never can. */
  claim(bytes: number, onRoom: () => void): AnnouncedClaim | undefined {
    if (bytes > this.#totalBytes) return undefined;
    const request = { bytes, onRoom };
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      if (this.#waiting.delete(request)) return;
      this.#used -= bytes;
      this.#wake();
    };
    if (this.#used + bytes <= this.#totalBytes) {
      this.#used += bytes;
      onRoom();
    } else this.#waiting.add(request);
    return { release };
  }

  used(): number {
    return this.#used;
  }

  #wake(): void {
    for (const request of this.#waiting) {
      if (this.#used + request.bytes > this.#totalBytes) continue;
      this.#waiting.delete(request);
      this.#used += request.bytes;
      request.onRoom();
    }
  }
}

/** The budgets of one direction's streams. */
export interface StreamBudgets {
  readonly held: HoldBudget;
  readonly announced: AnnouncedBudget;
}
