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
