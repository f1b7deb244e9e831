/** Every cap of the wire layer, named, with its reason. Bytes unless the name says otherwise. */

/** memberlist label.go `LabelMaxSize`: the length is one byte. */
export const LABEL_MAX_BYTES = 255;

/** memberlist net.go `hasLabelMsg` header: type byte and length byte. */
export const LABEL_HEADER_BYTES = 2;

/** An IPv4 datagram's largest payload (65,535 - 20 - 8): nothing longer can arrive or be sent as one packet. */
export const UDP_PAYLOAD_MAX_BYTES = 65_507;

/** dskit sends packets of up to 10 MiB on one packet connection; its receiver reads without a cap (wire-protocol §6 row 9). */
export const DSKIT_PACKET_MAX_BYTES = 10 * 1024 * 1024;

/** dskit `md5.Size`: the digest that ends a packet connection. */
export const DSKIT_DIGEST_BYTES = 16;

/** memberlist net.go `maxPushStateNodes`: the most node states a push/pull header may announce. */
export const PUSH_PULL_NODES_MAX = 1_048_576;

/** memberlist net.go `maxPushStateBytes` and `maxUserMsgBytes`: the largest user state, and the largest streamed user message. */
export const USER_STATE_MAX_BYTES = 20 * 1024 * 1024;

/** memberlist net.go `maxDecompressedBytes`: the most that one compress message may unpack to. */
export const DECOMPRESSED_MAX_BYTES = 40 * 1024 * 1024;

/** memberlist net.go `MetaMaxSize`: a node's metadata. */
export const NODE_META_MAX_BYTES = 512;

/** Nested maps and arrays in a skipped msgpack value; memberlist's own bodies have one level. */
export const MSGPACK_DEPTH_MAX = 16;

/** Entries of a msgpack map or array; memberlist's largest body has nine, and newer versions may add some. */
export const MSGPACK_ENTRIES_MAX = 1_024;

/** memberlist util.go `makeCompoundMessages`: the count is one byte, a part's length two. */
export const COMPOUND_PARTS_MAX = 255;
export const COMPOUND_PART_MAX_BYTES = 65_535;

/** Layers (compress, compound) inside each other that a packet walk enters; memberlist itself writes two. */
export const WALK_DEPTH_MAX = 8;

/** Messages that one packet walk yields; a 64 KiB packet of the smallest useful messages holds fewer. */
export const WALK_MESSAGES_MAX = 16_384;

/** Bytes that all compress layers of one packet may unpack to, together: what dskit's largest packet could hold. */
export const WALK_EXPANDED_MAX_BYTES = 10 * 1024 * 1024;

/**
 * The same of a datagram. What members pack would have fitted one unpacked, 64 KiB (only an application's own message can be longer, and
 * is meant not to be); an attacker's costs some milliseconds at most.
 */
export const DATAGRAM_EXPANDED_MAX_BYTES = 1024 * 1024;

/** memberlist net.go `decryptRemoteState` (`maxPushStateBytes`): the most that an encrypted stream may announce. */
export const SEALED_STREAM_MAX_BYTES = 20 * 1024 * 1024;

/** Keys of a ring; memberlist has no bound. Each costs a decryption, or two, for every packet that none of them opens. */
export const KEYRING_KEYS_MAX = 32;

/**
 * One Alertmanager frame. Its packets hold at most 1,400 bytes (cluster.go `MaxGossipPacketSize`), the rest of a frame is an address;
 * Alertmanager itself reserves whatever the four bytes announce (wire-protocol §6 row 10).
 */
export const ALERTMANAGER_FRAME_MAX_BYTES = 128 * 1024;

/** One dskit KeyValuePair: what a push/pull's user state may hold in all. */
export const KV_PAIR_MAX_BYTES = USER_STATE_MAX_BYTES;

/** A ring descriptor, unpacked: some 50,000 instances of 128 tokens each. */
export const RING_DESC_MAX_BYTES = 40 * 1024 * 1024;

/** Instances, partitions and owners of one ring descriptor. */
export const RING_ENTRIES_MAX = 65_536;

/** dskit node_zone_aware_routing.go `MaxZoneNameLength`. */
export const NODE_META_ZONE_MAX_BYTES = 16;

/**
 * One struct of a stream while it is incomplete: a row is some 600 bytes at most, of a name and MetaMaxSize. It is scanned anew with every
 * piece, so the square of this is what a sender of single bytes can make us read.
 */
export const STREAM_STRUCT_MAX_BYTES = 16 * 1024;

/** Buf of a stream's compress message: LZW of bytes without any pattern takes 12 bits for each, and DECOMPRESSED_MAX_BYTES is all. */
export const COMPRESSED_MAX_BYTES = DECOMPRESSED_MAX_BYTES * 1.5 + 4096;
