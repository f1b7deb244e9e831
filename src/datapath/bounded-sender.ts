/** Sending on node's UDP sockets: bounded, and counted once it is known what became of a datagram. */
import type { Socket } from 'node:dgram';
import type { Direction } from '../policy/facts.ts';
import type { Tally } from '../policy/tally.ts';

/** Datagrams that node may hold because the kernel takes no more; beyond it they are dropped as `backlog_full`. */
export const SEND_QUEUE_MAX = 1_024;

/** Counts datagrams of one direction once the kernel has taken them, those that it took in one turn of the event loop together. */
export class Departures {
  readonly #tally: Pick<Tally, 'forwarded'>;
  readonly #direction: Direction;
  readonly #now: () => number;
  #arrivedMs = 0;
  #count = 0;
  readonly #report = (): void => {
    const seconds = Math.max(0, this.#now() - this.#arrivedMs) / 1_000;
    this.#tally.forwarded(this.#direction, 'packet', seconds, this.#count);
    this.#count = 0;
  };

  constructor(tally: Pick<Tally, 'forwarded'>, direction: Direction, now: () => number) {
    this.#tally = tally;
    this.#direction = direction;
    this.#now = now;
  }

  /** What is handed to node from now on arrived at `atMs`. Where node has to hold it, the next ones' arrival is taken for its own. */
  arrived(atMs: number): void {
    this.#arrivedMs = atMs;
  }

  /** The kernel took one. Node tells so in one go for all that was sent in a turn; the report comes behind them. */
  gone(): void {
    if (this.#count++ === 0) process.nextTick(this.#report);
  }
}

export interface SenderOptions {
  readonly tally: Pick<Tally, 'dropped'>;
  readonly departures: Departures;
  /** The kernel refused a datagram. */
  onFailure(error: NodeJS.ErrnoException): void;
}

/** Sends on one socket, bounded by SEND_QUEUE_MAX. Never throws: `onFailure` gets the kernel's refusal, and what was not tried is counted. */
export class BoundedSender {
  readonly #socket: Socket;
  readonly #tally: Pick<Tally, 'dropped'>;
  /** Sends that node has not reported on. Those that the kernel took at once are among them for a turn of the event loop. */
  #open = 0;
  readonly #done: (error: NodeJS.ErrnoException | null) => void;

  constructor(socket: Socket, { tally, departures, onFailure }: SenderOptions) {
    this.#socket = socket;
    this.#tally = tally;
    this.#done = (error) => {
      this.#open--;
      if (error) onFailure(error);
      else departures.gone();
    };
  }

  /** To where the socket is connected. */
  send(packet: Uint8Array): void {
    if (this.#isFull()) return;
    try {
      this.#open++;
      this.#socket.send(packet, this.#done);
    } catch {
      this.#refused();
    }
  }

  sendTo(packet: Uint8Array, port: number, address: string): void {
    if (this.#isFull()) return;
    try {
      this.#open++;
      this.#socket.send(packet, port, address, this.#done);
    } catch {
      this.#refused();
    }
  }

  #isFull(): boolean {
    if (this.#open < SEND_QUEUE_MAX || this.#queued() < SEND_QUEUE_MAX) return false;
    this.#tally.dropped('backlog_full');
    return true;
  }

  #queued(): number {
    try {
      return this.#socket.getSendQueueCount();
    } catch {
      // Closed meanwhile: sending says so.
      return 0;
    }
  }

  /** The socket closed meanwhile, or node refuses the address: nothing was sent. */
  #refused(): void {
    this.#open--;
    this.#tally.dropped('send_failed');
  }
}
