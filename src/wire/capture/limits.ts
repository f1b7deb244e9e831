/** Every cap of reading captures, named, with its reason. Bytes unless the name says otherwise. */

/** libpcap `MAXIMUM_SNAPLEN`: the longest record of a pcap file that libpcap reads itself. */
export const RECORD_MAX_BYTES = 262_144;

/** The longest pcapng block that is read whole (Wireshark's own cap); longer ones of unknown types are skipped unread. */
export const BLOCK_MAX_BYTES = 16 * 1024 * 1024;

/** Interfaces of one pcapng section; a host with more is not known. */
export const INTERFACES_MAX = 4_096;

/** A line of hex text: two digits and a separator for each byte of the largest datagram, and room for an offset and its text. */
export const HEX_LINE_MAX_BYTES = 256 * 1024;

/** A frame of hex text. */
export const HEX_FRAME_MAX_BYTES = RECORD_MAX_BYTES;

/** VLAN tags in front of one packet: two are standard (802.1ad), more are seen in labs. */
export const VLAN_TAGS_MAX = 4;

/** IPv6 extension headers of one packet; each may stand once, one twice (RFC 8200). */
export const IPV6_EXTENSIONS_MAX = 16;

/** Datagrams that wait for their fragments, the memory that they may take together, and how long they wait (RFC 8200: 60 s). */
export const FRAGMENTED_MAX = 1_024;
export const FRAGMENTED_TOTAL_MAX_BYTES = 16 * 1024 * 1024;
export const FRAGMENTED_TIMEOUT_MS = 60_000;

/** Fragments of one datagram: 65,535 bytes in pieces of at least 68 (RFC 791) less the header, rounded up. */
export const FRAGMENTS_MAX = 1_366;

/** The largest IP payload. */
export const IP_PAYLOAD_MAX_BYTES = 65_535;

/** TCP connections that are followed at once; the one that was silent for the longest makes room. */
export const TCP_CONNECTIONS_MAX = 16_384;

/** Bytes that one side of a connection may hold behind a hole before the hole counts as a gap: four default receive windows. */
export const TCP_HELD_MAX_BYTES = 1024 * 1024;

/** Bytes behind holes of all connections together. */
export const TCP_HELD_TOTAL_MAX_BYTES = 64 * 1024 * 1024;

/** Segments behind one hole: a window of small ones. Insertion is linear in them. */
export const TCP_HELD_SEGMENTS_MAX = 1_024;

/** A segment this far ahead, or more, is no part of the window: the sequence numbers belong to another connection. */
export const TCP_WINDOW_MAX_BYTES = 16 * 1024 * 1024;

/** Ports outside the filter that are counted, so that an empty report can say where traffic was. */
export const OTHER_PORTS_MAX = 1_024;
