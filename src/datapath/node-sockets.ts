/** Node's sockets as the stream engine knows them: their events are told to an owner, by listeners that all sockets share. */
import type { Socket } from 'node:net';
import type { StreamSocket } from './socket.ts';

/** One of node's that tells its owner. */
export type OwnedSocket = Socket & Pick<StreamSocket, 'owner'>;

/** Has `socket` tell its owner from now on; to be called once. It flows as soon as it is resumed, a new connection at once. */
export function ownedSocket(socket: Socket): OwnedSocket {
  return socket
    .on('data', onData)
    .on('end', onEnd)
    .on('drain', onDrain)
    .on('connect', onConnect)
    .on('error', onError)
    .on('close', onClose);
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this.owner?.onData(this, chunk);
}

function onEnd(this: OwnedSocket): void {
  this.owner?.onEnd(this);
}

function onDrain(this: OwnedSocket): void {
  this.owner?.onDrain(this);
}

function onConnect(this: OwnedSocket): void {
  this.owner?.onConnect(this);
}

function onError(this: OwnedSocket, error: Error): void {
  this.owner?.onError(this, error);
}

function onClose(this: OwnedSocket, hadError: boolean): void {
  this.owner?.onClose(this, hadError);
}
