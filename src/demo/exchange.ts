/** TCP exchanges: push/pull and the ping that falls back to TCP, both sides. Mirrors memberlist net.go `handleConn` and `sendAndReceiveState`. */
import type { Socket } from 'node:net';
import type { Endpoint } from '../datapath/engine.ts';
import { failed, type Parsed } from '../wire/codec-reason.ts';
import { MESSAGE_TYPE } from '../wire/message-type.ts';
import { decodeMessage, encodeMessage, type MessageOf } from '../wire/messages.ts';
import { decodePushPull, decodeUserStream, encodePushPull, type PushPull } from '../wire/push-pull.ts';
import { MEMBERS_MAX } from './settings.ts';
import { ExchangeError, readMessage } from './stream-read.ts';
import type { MemberTable } from './table.ts';

const NO_STATE = new Uint8Array(0);

/** What an exchange needs of its member. */
export interface ExchangeHost {
  readonly table: MemberTable;
  readonly streamTimeoutMs: number;
  dial(to: Endpoint): Socket;
}

type Request =
  | { readonly kind: 'pushPull'; readonly state: PushPull }
  | { readonly kind: 'ping'; readonly ping: MessageOf<'ping'> }
  | { readonly kind: 'user' };

function parseRequest(message: Uint8Array): Parsed<Request> {
  if (message[0] === MESSAGE_TYPE.pushPull) {
    const state = decodePushPull(message, MEMBERS_MAX);
    return state.ok ? { ok: true, value: { kind: 'pushPull', state: state.value } } : state;
  }
  if (message[0] === MESSAGE_TYPE.user) {
    const user = decodeUserStream(message);
    return user.ok ? { ok: true, value: { kind: 'user' } } : user;
  }
  const other = decodeMessage(message);
  if (!other.ok) return other;
  if (other.value.type !== 'ping') return failed('type_unexpected', 0);
  return { ok: true, value: { kind: 'ping', ping: other.value } };
}

/** Serves one accepted connection to its end. Never rejects: a peer's nonsense is answered with an error frame and dropped. */
export async function serveStream(socket: Socket, host: ExchangeHost): Promise<void> {
  try {
    const request = await readMessage(socket, host.streamTimeoutMs, parseRequest);
    if (request.kind === 'pushPull') {
      socket.end(encodePushPull({ join: request.state.join, nodes: host.table.states(), userState: NO_STATE }));
      host.table.merge(request.state.nodes);
    } else if (request.kind === 'ping') {
      const { Node, SeqNo } = request.ping;
      const forUs = Node === '' || host.table.isSelf(Node);
      socket.end(forUs ? encodeMessage({ type: 'ackResp', SeqNo, Payload: NO_STATE }) : NO_STATE);
    } else {
      socket.end();
    }
  } catch (error) {
    if (!(error instanceof ExchangeError)) throw error;
    socket.end(socket.bytesRead === 0 ? NO_STATE : encodeMessage({ type: 'err', Error: error.message }));
  }
  // Our side is shut down; the peer gets as long again to close its own.
  socket.resume();
  socket.setTimeout(host.streamTimeoutMs, () => socket.destroy());
}

type Answer = { readonly kind: 'pushPull'; readonly state: PushPull } | { readonly kind: 'err'; readonly text: string };

function parseAnswer(message: Uint8Array): Parsed<Answer> {
  if (message[0] === MESSAGE_TYPE.pushPull) {
    const state = decodePushPull(message, MEMBERS_MAX);
    return state.ok ? { ok: true, value: { kind: 'pushPull', state: state.value } } : state;
  }
  const other = decodeMessage(message);
  if (!other.ok) return other;
  if (other.value.type !== 'err') return failed('type_unexpected', 0);
  return { ok: true, value: { kind: 'err', text: other.value.Error } };
}

/** Exchanges tables with the member at `to`; resolves with how many states it sent. Rejects with an ExchangeError that says why not. */
export async function pushPull(to: Endpoint, join: boolean, host: ExchangeHost): Promise<number> {
  const socket = host.dial(to);
  try {
    const answered = readMessage(socket, host.streamTimeoutMs, parseAnswer);
    socket.write(encodePushPull({ join, nodes: host.table.states(), userState: NO_STATE }));
    const answer = await answered;
    if (answer.kind === 'err') throw new ExchangeError(`remote error: ${answer.text}`);
    host.table.merge(answer.state.nodes);
    return answer.state.nodes.length;
  } finally {
    socket.on('error', () => undefined).destroy();
  }
}

/** The TCP ping of net.go `sendPingAndWaitForAck`: whether `to` answered it in time. */
export async function pingOverTcp(
  to: Endpoint,
  ping: Uint8Array,
  timeoutMs: number,
  host: ExchangeHost,
): Promise<boolean> {
  const socket = host.dial(to);
  try {
    const answered = readMessage(socket, timeoutMs, decodeMessage);
    socket.write(ping);
    return (await answered).type === 'ackResp';
  } catch (error) {
    if (error instanceof ExchangeError) return false;
    throw error;
  } finally {
    socket.on('error', () => undefined).destroy();
  }
}
