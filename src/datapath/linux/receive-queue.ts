/**
 * The kernel's queue of a UDP socket that everybody sends to: long for bursts, short while it stands. A queue that is filled as fast as it
 * is read loses what is too much whatever its length is. All that a long one does then is to make each datagram wait, and to be larger than
 * the processor's cache, so that every datagram is fetched from memory again.
 */
import { RECEIVE_BUFFER_BYTES } from '../bind.ts';
import type { ReceiveBatch } from './datagram-batch.ts';
import { MEMINFO_BYTES, ROOM_AT, socketMemory, TAKEN_AT } from './socket-memory.ts';
import { SO_RCVBUF, SOL_SOCKET, type Syscalls, SystemError } from './syscalls.ts';

/** SO_RCVBUF while the queue stands; the kernel doubles it. Some 700 datagrams of 200 bytes, more than a millisecond of work. */
export const STANDING_BUFFER_BYTES = 256 * 1024;
/** Full batches in a row after which the queue stands: more datagrams than the long one holds, so that all of these came meanwhile. */
export const STANDING_BATCHES = 512;
/** Full batches in a row that show that it still stands: more datagrams than the short one holds. A short pause of the thread fills fewer. */
export const STILL_BATCHES = 16;
/** So long after it stood last it is long again, ms. */
export const CALM_MS = 1_000;

/** A queue of less room counts as full: what comes in a few ms, packets of full size at a high rate, takes half of this. The kernel's default has less. */
const ROOM_MIN_BYTES = 1024 * 1024;

/** Of one socket, which it does not close. Times are of any clock that never runs backwards. */
export class ReceiveQueue {
  readonly fd: number;
  readonly #calls: Syscalls;
  readonly #memory = Buffer.alloc(MEMINFO_BYTES);
  #fullInARow = 0;
  #stoodMs = 0;
  /** Whether it is filled as fast as it is read, or was of late. */
  stands = false;

  /** Throws a SystemError. */
  constructor(calls: Syscalls, fd: number) {
    this.fd = fd;
    this.#calls = calls;
    calls.setInt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
  }

  /** Fills `batch` as its `receive` does. */
  receive(batch: ReceiveBatch, control: boolean, nowMs: number): number {
    const count = batch.receive(this.fd, control);
    this.#fullInARow = count === batch.size ? this.#fullInARow + 1 : 0;
    if (this.#fullInARow >= STILL_BATCHES) this.#stoodMs = nowMs;
    if (this.#fullInARow === STANDING_BATCHES) this.#become(true);
    else if (this.stands && nowMs - this.#stoodMs >= CALM_MS) this.#become(false);
    return count;
  }

  /**
   * The part of its room that is taken; 1 where that is little, or the kernel does not tell. The kernel counts what was read as taken for a while,
   * up to a quarter, until the queue is emptied (net/ipv4/udp.c udp_rmem_release).
   */
  fill(): number {
    const memory = socketMemory(this.#calls, this.fd, this.#memory);
    const room = memory?.readUInt32LE(ROOM_AT) ?? 0;
    return memory === undefined || room < ROOM_MIN_BYTES ? 1 : memory.readUInt32LE(TAKEN_AT) / room;
  }

  #become(stands: boolean): void {
    if (this.stands === stands) return;
    this.stands = stands;
    try {
      this.#calls.setInt(this.fd, SOL_SOCKET, SO_RCVBUF, stands ? STANDING_BUFFER_BYTES : RECEIVE_BUFFER_BYTES);
    } catch (error) {
      // A kernel that refuses leaves the length as it is, which loses nothing.
      if (!(error instanceof SystemError)) throw error;
    }
  }
}
