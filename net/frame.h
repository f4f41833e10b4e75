/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame around a wire datagram: Ethernet, up to two VLAN tags, ARP, IPv4, ICMP echo, UDP.
 *
 *   0      6      12    14 (18, 22)            +20      +28
 *  +------+------+-----+------+---------------+--------+---------------+---------+
 *  | dst  | src  |(tags)|type | IPv4, 20 bytes|UDP, 8  | payload       | padding |
 *  +------+------+-----+------+---------------+--------+---------------+---------+
 *                              ^ip_offset      ^udp_offset ^payload_offset
 *
 * A frame is answered in the bytes it came in: addresses and ports are swapped, so the answer takes
 * the way back that the request came, tags included, without a route or a neighbour table. What the
 * engine does not serve is dropped for one named reason, which the caller counts; the reasons stand
 * in the order in which they are checked, and a frame is dropped for the first that applies.
 *
 * Fragments and IP options are refused, not handled: a client that keeps to the datagram size in
 * INFO never makes any. IPv6 is dropped as an unserved Ethernet type.
 *
 * Pure functions on bytes, no allocation, no alignment needed; any thread. No byte behind `size` is
 * read or written.
 */
#ifndef GIRO_NET_FRAME_H
#define GIRO_NET_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Ethernet header, two VLAN tags: what a buffer must hold beyond the MTU. */
#define NET_FRAME_LINK_BYTES_MAX (14 + 4 + 4)
/* Shortest Ethernet frame without its checksum; shorter ones arrive padded. */
#define NET_FRAME_BYTES_MIN 60
#define NET_FRAME_MTU_MAX   9000
/* IPv4 and UDP headers: a UDP payload is at most the MTU less these. */
#define NET_FRAME_IP_UDP_BYTES (20 + 8)

/* Where the source address stands, from the IPv4 header's first byte. */
#define NET_FRAME_IP_SOURCE 12

/* Who the engine is on the link. */
struct net_interface {
	uint8_t mac[6];
	uint8_t prefix_bits; /* 0..32: network part of the address, to know its broadcast address */
	uint8_t reserved;
	uint8_t address[4]; /* IPv4, in writing order */
};

/* X(name, label, text): why a frame is dropped. */
#define NET_DROP_LIST(X)                                                                        \
	X(RUNT, "runt", "frame ends inside its link header")                                    \
	X(SOURCE_MAC, "source-mac", "source MAC is zero or a group address")                    \
	X(OTHER_MAC, "other-mac", "sent to another MAC or to a group")                          \
	X(VLAN_DEPTH, "vlan-depth", "more than two VLAN tags")                                  \
	X(ETHER_TYPE, "ether-type", "neither IPv4 nor ARP")                                     \
	X(ARP_MALFORMED, "arp-malformed", "ARP too short or not IPv4 on Ethernet")              \
	X(ARP_SENDER, "arp-sender", "ARP sender has our address, or is not the frame's source") \
	X(ARP_OTHER, "arp-other", "ARP reply, or request for another address")                  \
	X(IP_BROADCAST, "ip-broadcast", "IPv4 in a broadcast frame")                            \
	X(IP_SHORT, "ip-short", "frame ends inside its IPv4 header")                            \
	X(IP_VERSION, "ip-version", "IP version is not 4")                                      \
	X(IP_OPTIONS, "ip-options", "IPv4 header is not 20 bytes")                              \
	X(IP_LENGTH, "ip-length", "IPv4 length is below its header or beyond the frame")        \
	X(IP_CHECKSUM, "ip-checksum", "IPv4 header checksum is wrong")                          \
	X(IP_FRAGMENT, "ip-fragment", "fragment; keep to the datagram size in INFO")            \
	X(IP_OTHER, "ip-other", "sent to another IPv4 address")                                 \
	X(IP_SOURCE, "ip-source", "source address is zero, loopback, group or broadcast")       \
	X(IP_SPOOFED, "ip-spoofed", "source address is our own")                                \
	X(PROTOCOL, "protocol", "neither UDP nor ICMP")                                         \
	X(ICMP_LENGTH, "icmp-length", "ICMP message shorter than its header")                   \
	X(ICMP_TYPE, "icmp-type", "ICMP, but no echo request")                                  \
	X(ICMP_CHECKSUM, "icmp-checksum", "ICMP checksum is wrong")                             \
	X(UDP_LENGTH, "udp-length", "UDP length differs from what IPv4 carries")                \
	X(UDP_SOURCE_PORT, "udp-source-port", "UDP source port is zero: nowhere to answer to")  \
	X(UDP_CHECKSUM, "udp-checksum", "UDP checksum is wrong")                                \
	/* decided by the caller, which has the buffers and knows the shards */                 \
	X(SEGMENTED, "segmented", "frame is larger than one buffer")                            \
	X(UDP_PORT, "udp-port", "no shard at that UDP port")

enum net_drop {
#define NET_DROP_ENUM(name, label, text) NET_DROP_##name,
	NET_DROP_LIST(NET_DROP_ENUM)
#undef NET_DROP_ENUM
	    NET_DROPS, /* count of reasons */
};

/* "udp-checksum" for counters, and one line for people; both static, "unknown" out of range. */
const char *net_drop_name(unsigned drop);
const char *net_drop_text(unsigned drop);

enum net_verdict {
	NET_VERDICT_UDP,   /* a datagram for us; the whole struct net_frame is filled */
	NET_VERDICT_REPLY, /* answered in place: send the first `size` bytes back */
	NET_VERDICT_DROP,  /* `drop` says why; the bytes are as they came */
};

/* What the NIC did on receive, or shall do on transmit, so that software need not. */
enum net_offload {
	NET_OFFLOAD_RX_IP = 1 << 0,  /* verified the IPv4 header checksum */
	NET_OFFLOAD_RX_UDP = 1 << 1, /* verified the UDP checksum */
	NET_OFFLOAD_TX_IP = 1 << 2,  /* will fill in the IPv4 header checksum */
	NET_OFFLOAD_TX_UDP =
	    1 << 3, /* will fill in the UDP checksum over the pseudo header's sum */
};

struct net_frame {
	enum net_drop drop;	   /* NET_VERDICT_DROP only */
	uint16_t size;		   /* bytes of the frame, or of the reply with NET_VERDICT_REPLY */
	uint16_t vlan_count;	   /* tags, 0..2; echoed in the reply */
	uint16_t vlan_id;	   /* of the outer tag; 0 without one */
	uint16_t ip_offset;	   /* 14, 18 or 22 */
	uint16_t udp_offset;	   /* ip_offset + 20 */
	uint16_t payload_offset;   /* udp_offset + 8 */
	uint16_t payload_size;	   /* UDP payload, Ethernet padding not counted */
	uint16_t source_port;	   /* host order, > 0 */
	uint16_t destination_port; /* host order */
};

/* Judges the frame of `size` bytes that came in. `offload`: the NET_OFFLOAD_RX_* bits that hold for
 * this frame; a checksum without its bit is verified here. A UDP checksum of zero means none was
 * sent, as IPv4 allows; the wire checksum inside still guards the payload. */
enum net_verdict net_frame_parse(const struct net_interface *self, uint8_t *bytes, size_t size,
				 unsigned offload, struct net_frame *frame);

/* Turns the request frame, whose payload is overwritten with `payload_size` bytes of answer, into
 * the frame that carries it back: addresses and ports swapped, lengths, TTL and checksums new,
 * padding zeroed. `frame` is what net_frame_parse() filled in; `payload_size` is at most its
 * payload_size. `offload`: the NET_OFFLOAD_TX_* bits of what the NIC will complete. Returns the
 * frame's size in bytes. */
size_t net_frame_reply_udp(uint8_t *bytes, const struct net_frame *frame, size_t payload_size,
			   unsigned offload);

#endif
