/* SPDX-License-Identifier: Apache-2.0 */
#include "net/frame.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

#define MAC_BYTES     6
#define LINK_BYTES    14
#define VLAN_BYTES    4
#define VLAN_TAGS_MAX 2
#define ARP_BYTES     28
#define IP_BYTES      20
#define UDP_BYTES     8
#define ICMP_BYTES    8
#define REPLY_TTL     64

#define TYPE_IPV4 0x0800
#define TYPE_ARP  0x0806
#define TYPE_VLAN 0x8100
#define TYPE_QINQ 0x88a8

#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP  17

#define IP_DONT_FRAGMENT 0x4000
#define IP_FRAGMENT_BITS 0x3fff /* more fragments, offset */

/* Offsets in the headers, from each header's first byte. */
enum {
	ETHER_TARGET = 0,
	ETHER_SOURCE = 6,
	ETHER_TYPE = 12,

	ARP_OPERATION = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET_IP = 24,

	IP_TOS = 1,
	IP_TOTAL = 2,
	IP_ID = 4,
	IP_FRAGMENT = 6,
	IP_TTL = 8,
	IP_PROTOCOL = 9,
	IP_CHECKSUM = 10,
	IP_SOURCE = 12,
	IP_TARGET = 16,

	UDP_SOURCE = 0,
	UDP_TARGET = 2,
	UDP_LENGTH = 4,
	UDP_CHECKSUM = 6,

	ICMP_CODE = 1,
	ICMP_CHECKSUM = 2,
};
#define ICMP_ECHO_REPLY	  0
#define ICMP_ECHO_REQUEST 8
#define ARP_REQUEST	  1
#define ARP_REPLY	  2

static const uint8_t mac_broadcast[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mac_zero[MAC_BYTES];
/* Ethernet, IPv4, six and four bytes of address: the only ARP there is here. */
static const uint8_t arp_head[6] = {0, 1, 8, 0, 6, 4};

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void put16(uint8_t *bytes, unsigned value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static void swap_bytes(uint8_t *a, uint8_t *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t byte = a[i];
		a[i] = b[i];
		b[i] = byte;
	}
}

static bool mac_is_group(const uint8_t *mac)
{
	return mac[0] & 1;
}

/* The ones' complement sum (RFC 1071) is the same in either byte order but for a final swap, so the
 * words are added as they lie in memory, eight bytes a step. Sums are at most 64 KiB: no overflow.
 */
static uint64_t sum_bytes(const uint8_t *bytes, size_t size, uint64_t sum)
{
	while (size >= 8) {
		uint64_t word;
		memcpy(&word, bytes, sizeof(word));
		sum += (word & UINT32_MAX) + (word >> 32);
		bytes += 8;
		size -= 8;
	}
	if (size > 0) {
		uint64_t word = 0;
		memcpy(&word, bytes, size);
		sum += (word & UINT32_MAX) + (word >> 32);
	}
	return sum;
}

/* Folds to 16 bits, in the order that get16() and put16() use. */
static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return __builtin_bswap16((uint16_t)sum);
}

/* Sum over source, target, protocol and length of the datagram in the packet at `ip`. */
static uint64_t pseudo_header_sum(const uint8_t *ip, size_t udp_size)
{
	uint8_t tail[4] = {0, PROTOCOL_UDP};
	put16(tail + 2, (unsigned)udp_size);
	return sum_bytes(tail, sizeof(tail), sum_bytes(ip + IP_SOURCE, 8, 0));
}

static enum net_verdict drop(struct net_frame *frame, enum net_drop reason)
{
	frame->drop = reason;
	return NET_VERDICT_DROP;
}

/* Bytes to send for a reply that ends at `end`: a frame that came padded leaves padded, and the
 * padding carries nothing of what stood there. */
static size_t pad_reply(uint8_t *bytes, size_t end, size_t received)
{
	size_t size = received < NET_FRAME_BYTES_MIN ? received : NET_FRAME_BYTES_MIN;
	if (size <= end)
		return end;
	memset(bytes + end, 0, size - end);
	return size;
}

static void turn_link(uint8_t *bytes)
{
	swap_bytes(bytes + ETHER_TARGET, bytes + ETHER_SOURCE, MAC_BYTES);
}

/* Turns addresses and renews what is ours to say. DF with identification 0 is an atomic datagram
 * (RFC 6864); the congestion bits belong to the other direction. */
static void turn_ip(uint8_t *ip, size_t total, bool checksum_offload)
{
	swap_bytes(ip + IP_SOURCE, ip + IP_TARGET, 4);
	ip[IP_TOS] &= 0xfc;
	put16(ip + IP_TOTAL, (unsigned)total);
	put16(ip + IP_ID, 0);
	put16(ip + IP_FRAGMENT, IP_DONT_FRAGMENT);
	ip[IP_TTL] = REPLY_TTL;
	put16(ip + IP_CHECKSUM, 0);
	if (!checksum_offload)
		put16(ip + IP_CHECKSUM, (uint16_t)~sum_fold(sum_bytes(ip, IP_BYTES, 0)));
}

static enum net_verdict parse_arp(const struct net_interface *self, uint8_t *bytes, size_t size,
				  struct net_frame *frame)
{
	uint8_t *arp = bytes + frame->ip_offset;

	if (size - frame->ip_offset < ARP_BYTES || memcmp(arp, arp_head, sizeof(arp_head)) != 0)
		return drop(frame, NET_DROP_ARP_MALFORMED);
	if (memcmp(arp + ARP_SENDER_MAC, bytes + ETHER_SOURCE, MAC_BYTES) != 0 ||
	    memcmp(arp + ARP_SENDER_IP, self->address, 4) == 0)
		return drop(frame, NET_DROP_ARP_SENDER);
	if (get16(arp + ARP_OPERATION) != ARP_REQUEST ||
	    memcmp(arp + ARP_TARGET_IP, self->address, 4) != 0)
		return drop(frame, NET_DROP_ARP_OTHER);

	memcpy(bytes + ETHER_TARGET, bytes + ETHER_SOURCE, MAC_BYTES);
	memcpy(bytes + ETHER_SOURCE, self->mac, MAC_BYTES);
	put16(arp + ARP_OPERATION, ARP_REPLY);
	memcpy(arp + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, MAC_BYTES + 4);
	memcpy(arp + ARP_SENDER_MAC, self->mac, MAC_BYTES);
	memcpy(arp + ARP_SENDER_IP, self->address, 4);
	frame->size = (uint16_t)pad_reply(bytes, frame->ip_offset + (size_t)ARP_BYTES, size);
	return NET_VERDICT_REPLY;
}

static enum net_verdict parse_icmp(uint8_t *bytes, size_t size, size_t total,
				   struct net_frame *frame)
{
	uint8_t *ip = bytes + frame->ip_offset;
	uint8_t *icmp = ip + IP_BYTES;
	size_t icmp_size = total - IP_BYTES;

	if (icmp_size < ICMP_BYTES)
		return drop(frame, NET_DROP_ICMP_LENGTH);
	if (icmp[0] != ICMP_ECHO_REQUEST || icmp[ICMP_CODE] != 0)
		return drop(frame, NET_DROP_ICMP_TYPE);
	if (sum_fold(sum_bytes(icmp, icmp_size, 0)) != 0xffff)
		return drop(frame, NET_DROP_ICMP_CHECKSUM);

	turn_link(bytes);
	turn_ip(ip, total, false);
	icmp[0] = ICMP_ECHO_REPLY;
	put16(icmp + ICMP_CHECKSUM, 0);
	put16(icmp + ICMP_CHECKSUM, (uint16_t)~sum_fold(sum_bytes(icmp, icmp_size, 0)));
	frame->size = (uint16_t)pad_reply(bytes, frame->ip_offset + total, size);
	return NET_VERDICT_REPLY;
}

static enum net_verdict parse_udp(uint8_t *bytes, size_t total, unsigned offload,
				  struct net_frame *frame)
{
	const uint8_t *ip = bytes + frame->ip_offset;
	const uint8_t *udp = ip + IP_BYTES;
	size_t udp_size = total - IP_BYTES;

	if (udp_size < UDP_BYTES || get16(udp + UDP_LENGTH) != udp_size)
		return drop(frame, NET_DROP_UDP_LENGTH);
	if (get16(udp + UDP_SOURCE) == 0)
		return drop(frame, NET_DROP_UDP_SOURCE_PORT);
	if (!(offload & NET_OFFLOAD_RX_UDP) && get16(udp + UDP_CHECKSUM) != 0 &&
	    sum_fold(sum_bytes(udp, udp_size, pseudo_header_sum(ip, udp_size))) != 0xffff)
		return drop(frame, NET_DROP_UDP_CHECKSUM);

	frame->udp_offset = (uint16_t)(frame->ip_offset + IP_BYTES);
	frame->payload_offset = (uint16_t)(frame->udp_offset + UDP_BYTES);
	frame->payload_size = (uint16_t)(udp_size - UDP_BYTES);
	frame->source_port = get16(udp + UDP_SOURCE);
	frame->destination_port = get16(udp + UDP_TARGET);
	return NET_VERDICT_UDP;
}

/* A source that no host may send from: answering it would answer many, or nobody. */
static bool source_is_unusable(const struct net_interface *self, uint32_t source)
{
	uint32_t first = source >> 24;
	if (first == 0 || first == 127 || first >= 224)
		return true;
	/* Networks of 31 and 32 bits have no broadcast address (RFC 3021). */
	if (self->prefix_bits > 30)
		return false;
	uint32_t hosts = UINT32_MAX >> self->prefix_bits;
	return (source & ~hosts) == (get32(self->address) & ~hosts) &&
	       ((source & hosts) == hosts || (source & hosts) == 0);
}

static enum net_verdict parse_ip(const struct net_interface *self, uint8_t *bytes, size_t size,
				 unsigned offload, struct net_frame *frame)
{
	const uint8_t *ip = bytes + frame->ip_offset;
	size_t available = size - frame->ip_offset;

	if (available < IP_BYTES)
		return drop(frame, NET_DROP_IP_SHORT);
	if (ip[0] >> 4 != 4)
		return drop(frame, NET_DROP_IP_VERSION);
	if ((ip[0] & 0xf) != IP_BYTES / 4)
		return drop(frame, NET_DROP_IP_OPTIONS);
	size_t total = get16(ip + IP_TOTAL);
	if (total < IP_BYTES || total > available)
		return drop(frame, NET_DROP_IP_LENGTH);
	if (!(offload & NET_OFFLOAD_RX_IP) && sum_fold(sum_bytes(ip, IP_BYTES, 0)) != 0xffff)
		return drop(frame, NET_DROP_IP_CHECKSUM);
	if (get16(ip + IP_FRAGMENT) & IP_FRAGMENT_BITS)
		return drop(frame, NET_DROP_IP_FRAGMENT);
	if (memcmp(ip + IP_TARGET, self->address, 4) != 0)
		return drop(frame, NET_DROP_IP_OTHER);
	if (source_is_unusable(self, get32(ip + IP_SOURCE)))
		return drop(frame, NET_DROP_IP_SOURCE);
	if (memcmp(ip + IP_SOURCE, self->address, 4) == 0)
		return drop(frame, NET_DROP_IP_SPOOFED);

	switch (ip[IP_PROTOCOL]) {
	case PROTOCOL_UDP:
		return parse_udp(bytes, total, offload, frame);
	case PROTOCOL_ICMP:
		return parse_icmp(bytes, size, total, frame);
	default:
		return drop(frame, NET_DROP_PROTOCOL);
	}
}

enum net_verdict net_frame_parse(const struct net_interface *self, uint8_t *bytes, size_t size,
				 unsigned offload, struct net_frame *frame)
{
	*frame = (struct net_frame){0};
	/* No buffer holds more; were one to, the rest could only be padding. */
	if (size > UINT16_MAX)
		size = UINT16_MAX;
	frame->size = (uint16_t)size;

	if (size < LINK_BYTES)
		return drop(frame, NET_DROP_RUNT);
	/* Our own MAC may be the source: the kernel behind a tap device has the same one. */
	const uint8_t *source = bytes + ETHER_SOURCE;
	if (mac_is_group(source) || memcmp(source, mac_zero, MAC_BYTES) == 0)
		return drop(frame, NET_DROP_SOURCE_MAC);
	bool broadcast = memcmp(bytes + ETHER_TARGET, mac_broadcast, MAC_BYTES) == 0;
	if (!broadcast && memcmp(bytes + ETHER_TARGET, self->mac, MAC_BYTES) != 0)
		return drop(frame, NET_DROP_OTHER_MAC);

	size_t type_offset = ETHER_TYPE;
	uint16_t type = get16(bytes + type_offset);
	while (type == TYPE_VLAN || type == TYPE_QINQ) {
		if (frame->vlan_count == VLAN_TAGS_MAX)
			return drop(frame, NET_DROP_VLAN_DEPTH);
		if (size < type_offset + 2 + VLAN_BYTES)
			return drop(frame, NET_DROP_RUNT);
		if (frame->vlan_count == 0)
			frame->vlan_id = get16(bytes + type_offset + 2) & 0xfff;
		frame->vlan_count++;
		type_offset += VLAN_BYTES;
		type = get16(bytes + type_offset);
	}
	frame->ip_offset = (uint16_t)(type_offset + 2);

	if (type == TYPE_ARP)
		return parse_arp(self, bytes, size, frame);
	if (type != TYPE_IPV4)
		return drop(frame, NET_DROP_ETHER_TYPE);
	if (broadcast)
		return drop(frame, NET_DROP_IP_BROADCAST);
	return parse_ip(self, bytes, size, offload, frame);
}

size_t net_frame_reply_udp(uint8_t *bytes, const struct net_frame *frame, size_t payload_size,
			   unsigned offload)
{
	CHECK(payload_size <= frame->payload_size);
	uint8_t *ip = bytes + frame->ip_offset;
	uint8_t *udp = bytes + frame->udp_offset;
	size_t udp_size = UDP_BYTES + payload_size;

	turn_link(bytes);
	turn_ip(ip, IP_BYTES + udp_size, offload & NET_OFFLOAD_TX_IP);
	swap_bytes(udp + UDP_SOURCE, udp + UDP_TARGET, 2);
	put16(udp + UDP_LENGTH, (unsigned)udp_size);
	put16(udp + UDP_CHECKSUM, 0);
	uint64_t pseudo = pseudo_header_sum(ip, udp_size);
	if (offload & NET_OFFLOAD_TX_UDP) {
		put16(udp + UDP_CHECKSUM, sum_fold(pseudo));
	} else {
		uint16_t checksum = (uint16_t)~sum_fold(sum_bytes(udp, udp_size, pseudo));
		/* Zero would say that there is none (RFC 768). */
		put16(udp + UDP_CHECKSUM, checksum == 0 ? 0xffff : checksum);
	}
	return pad_reply(bytes, frame->payload_offset + payload_size, frame->size);
}

const char *net_drop_name(unsigned drop)
{
	static const char *const names[] = {
#define NET_DROP_LABEL(name, label, text) label,
	    NET_DROP_LIST(NET_DROP_LABEL)
#undef NET_DROP_LABEL
	};
	return drop < NET_DROPS ? names[drop] : "unknown";
}

const char *net_drop_text(unsigned drop)
{
	static const char *const texts[] = {
#define NET_DROP_TEXT(name, label, text) text,
	    NET_DROP_LIST(NET_DROP_TEXT)
#undef NET_DROP_TEXT
	};
	return drop < NET_DROPS ? texts[drop] : "unknown";
}
