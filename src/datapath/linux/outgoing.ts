/** What a gate lets pass, made ready to be sent from the memory that it was received in: the label header is written before the body. */
import { UDP_PAYLOAD_MAX_BYTES } from '../../wire/limits.ts';
import type { PacketGate } from '../packet-gate.ts';

export class Outgoing {
  /** Where the last one begins in its memory, and how long it is. */
  at = 0;
  length = 0;

  /**
   * `memory` and `payloadAt`: what was given to the gate, with HEADROOM_BYTES before it and 64 KiB of room from it on. False when no
   * datagram can be that long.
   */
  place(gate: PacketGate, memory: Uint8Array, payloadAt: number): boolean {
    const { header, prefixed } = gate;
    this.length = prefixed ? gate.length + header.length : gate.length;
    if (this.length > UDP_PAYLOAD_MAX_BYTES) return false;
    let { at } = gate;
    if (gate.memory !== memory) {
      memory.set(gate.memory.subarray(at, at + gate.length), payloadAt);
      at = payloadAt;
    }
    if (prefixed) {
      at -= header.length;
      for (let k = 0; k < header.length; k++) memory[at + k] = header[k] as number;
    }
    this.at = at;
    return true;
  }
}
