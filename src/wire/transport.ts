/** Which transport a TCP connection speaks, told by its first byte (wire-protocol §3). */
import { MESSAGE_TYPE } from './message-type.ts';

/** What a frame travelled in, as the metric label `transport` says it. `unknown`: no transport starts with that byte. */
export const TRANSPORTS = ['native', 'dskit', 'alertmanager', 'tls', 'unknown'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** What a connection may speak, once TLS around it is opened: `app.transport` of the configuration without its `-tls`. */
export const TRANSPORT_SETTINGS = ['auto', 'native', 'dskit', 'alertmanager'] as const;
export type TransportSetting = (typeof TRANSPORT_SETTINGS)[number];

/** dskit tcp_transport.go `packet` and `stream`. */
export const DSKIT_PACKET = 1;
export const DSKIT_STREAM = 2;

/** TLS record type "handshake", the first byte of a ClientHello. */
const TLS_HANDSHAKE = 22;

/** The bytes that start a native stream: a label header, or a message that memberlist's handleConn takes, or one around it. */
const NATIVE_FIRST_BYTES: ReadonlySet<number> = new Set([
  MESSAGE_TYPE.hasLabel,
  MESSAGE_TYPE.ping,
  MESSAGE_TYPE.pushPull,
  MESSAGE_TYPE.user,
  MESSAGE_TYPE.compress,
  MESSAGE_TYPE.encrypt,
]);

/** Tells the transport of a connection by its first byte; `unknown` when `setting` rules out what the byte says. */
export function detectTransport(firstByte: number, setting: TransportSetting): Transport {
  // Its frames start with a length, which may be any byte; only auto has to tell, and it never means this transport.
  if (setting === 'alertmanager') return 'alertmanager';
  if (firstByte === TLS_HANDSHAKE) return 'tls';
  if (setting !== 'dskit' && NATIVE_FIRST_BYTES.has(firstByte)) return 'native';
  if (setting !== 'native' && (firstByte === DSKIT_PACKET || firstByte === DSKIT_STREAM)) return 'dskit';
  return 'unknown';
}
