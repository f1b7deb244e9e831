/**
 * The shield on packets: what of wire-protocol §6 a packet (after its label, not encrypted) can hold. A scan without objects or
 * copies, because every inbound packet waits for it.
 */
import type { ShieldReason } from './reason.ts';

/** Whether gossip may be sent to an address (16 bytes, wire/address.ts) because a packet asks for it. */
export type MayReach = (address: Uint8Array) => boolean;

/** The first thing in `packet` that is known to crash or exhaust a receiver; undefined when there is none. Total. */
export function harmOfPacket(_packet: Uint8Array, _mayReach: MayReach): ShieldReason | undefined {
  return undefined;
}
