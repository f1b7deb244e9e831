/** One session of a listen fence in the engine's thread (listen-sessions.ts). */
import { createPacketPeer, type PacketPeer } from '../packet-peer.ts';
import type { Watched } from './loop.ts';
import { Named } from './peer-index.ts';

/** No descriptor, or no place in the queue. */
export const NONE = -1;

/** A remote peer; it has a session while `fd` is not NONE. */
export class Session extends Named implements Watched {
  fd = NONE;
  lastMs = 0;
  /** Read by the clock (polled-sessions.ts); epoll does not watch it. */
  polled = false;
  readonly peer: PacketPeer;
  /** The control message that makes an answer leave from the address that the peer asked (asked-address.ts); undefined: any will do. */
  asked: Int32Array | undefined;
  /** Queued datagrams, by their numbers in the queue. */
  first = NONE;
  last = NONE;
  readonly #onReadable: (session: Session) => void;

  constructor(memory: Buffer, at: number, onReadable: (session: Session) => void) {
    super(memory, at);
    this.peer = createPacketPeer(this.address, this.port);
    this.#onReadable = onReadable;
  }

  ready(): void {
    this.#onReadable(this);
  }
}
