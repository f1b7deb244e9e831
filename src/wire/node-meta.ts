/**
 * The node metadata of dskit's zone-aware routing: `1 role len8 zone[len8]`. Mirrors dskit kv/memberlist/node_meta.go
 * `EncodeNodeMetadata`; its readers take anything else for a plain member without a zone. Other apps' metadata is free bytes: so only what
 * that writer writes is read here, whole, and nothing is concluded from the rest.
 */
import { NODE_META_ZONE_MAX_BYTES } from './limits.ts';
import { decodeText, encodeText } from './text.ts';

const VERSION = 1;
const HEADER_BYTES = 3;

/** node_zone_aware_routing.go `NodeRole`, from 1 on. Only append. */
export const NODE_ROLES = ['member', 'bridge'] as const;

export interface NodeMeta {
  readonly role: (typeof NODE_ROLES)[number];
  /** At most 16 bytes; may be empty. */
  readonly zone: string;
}

/** What a node's Meta says; undefined when it is not of that form. Total. */
export function decodeNodeMeta(meta: Uint8Array): NodeMeta | undefined {
  const [version, roleNumber = 0, zoneBytes = 0] = meta;
  const role = NODE_ROLES[roleNumber - 1];
  if (version !== VERSION || role === undefined || zoneBytes > NODE_META_ZONE_MAX_BYTES) return undefined;
  if (meta.length !== HEADER_BYTES + zoneBytes) return undefined;
  return { role, zone: decodeText(meta, HEADER_BYTES) };
}

/** Metadata as dskit writes it, a new buffer. Throws a RangeError for a zone of more than 16 bytes. */
export function encodeNodeMeta({ role, zone }: NodeMeta): Uint8Array {
  const bytes = encodeText(zone);
  if (bytes.length > NODE_META_ZONE_MAX_BYTES) throw new RangeError(`a zone of ${bytes.length} bytes is too long`);
  return Buffer.concat([Uint8Array.of(VERSION, NODE_ROLES.indexOf(role) + 1, bytes.length), bytes]);
}
