/** Node's sockets as the stream engine knows them: their events are told to an owner, by listeners that all sockets share. */
import { Socket } from 'node:net';
import type { SocketOwner } from './socket.ts';

/**
 * node's Socket copies the options it is made with. V8 before version 12 gives such a copy a shape of its own each time, as long as it has seen
 * few shapes of options there; every look at one then misses its caches, which makes a socket ten times as dear (13 µs for 1).
 */
function showOptions(): void {
  const [major = ''] = process.versions.v8.split('.');
  if (Number(major) >= 12) return;
  for (let made = 0; made < SHOWN; made++) new Socket({ [`shape${made % SHAPES}`]: made });
}

/** More shapes than V8 tells apart in one place (4), and so often that it has begun to count them. */
const SHAPES = 8;
const SHOWN = 20 * SHAPES;
showOptions();

/** One of node's that tells its owner. */
export type OwnedSocket = Socket & { owner?: SocketOwner | undefined; closeIsFin?: true };

/** A TCP connection that tells its owner; see ownedSocket. */
export function ownedTcp(socket: Socket): OwnedSocket {
  const owned = ownedSocket(socket);
  owned.closeIsFin = true;
  return owned;
}

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
