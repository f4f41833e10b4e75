/* SPDX-License-Identifier: Apache-2.0 */
#include "net/frame.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

/* Offsets in a frame without tags. */
#define ARP  14
#define IP   14
#define UDP  34
#define ICMP 34
#define DATA 42

static const struct net_interface self = {
    .mac = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01},
    .prefix_bits = 24,
    .address = {10, 77, 0, 1},
};
static const uint8_t peer_mac[6] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x02};
static const uint8_t peer_address[4] = {10, 77, 0, 2};

/* A frame in memory of exactly its size, so that a sanitizer sees a read past its end. */
struct bytes {
	uint8_t *at;
	size_t size;
};

static struct bytes make(size_t size)
{
	struct bytes frame = {malloc(size > 0 ? size : 1), size};
	cr_assert_not_null(frame.at);
	memset(frame.at, 0, size);
	return frame;
}

static void resize(struct bytes *frame, size_t size)
{
	struct bytes other = make(size);
	memcpy(other.at, frame->at, size < frame->size ? size : frame->size);
	free(frame->at);
	*frame = other;
}

static void put(uint8_t *bytes, size_t width, uint64_t value)
{
	for (size_t i = width; i-- > 0; value >>= 8)
		bytes[i] = (uint8_t)value;
}

static unsigned get(const uint8_t *bytes)
{
	return (unsigned)(bytes[0] << 8 | bytes[1]);
}

/* The checksum as RFC 1071 words it, 16 bits at a time; 0 over bytes that carry theirs. */
static unsigned plain_checksum(const uint8_t *bytes, size_t size, unsigned sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 == 0 ? (unsigned)bytes[i] << 8 : bytes[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static unsigned pseudo_sum(const uint8_t *ip, size_t udp_size)
{
	unsigned sum = 17 + (unsigned)udp_size;
	for (size_t i = 12; i < 20; i += 2)
		sum += get(ip + i);
	return sum;
}

static void fix_ip(uint8_t *ip)
{
	put(ip + 10, 2, 0);
	put(ip + 10, 2, plain_checksum(ip, 20, 0));
}

static void fix_udp(uint8_t *ip)
{
	size_t size = get(ip + 24);
	put(ip + 26, 2, 0);
	put(ip + 26, 2, plain_checksum(ip + 20, size, pseudo_sum(ip, size)));
}

static void fix_icmp(uint8_t *ip)
{
	size_t size = get(ip + 2) - 20u;
	put(ip + 22, 2, 0);
	put(ip + 22, 2, plain_checksum(ip + 20, size, 0));
}

static void put_link(struct bytes *frame, unsigned type)
{
	memcpy(frame->at, self.mac, 6);
	memcpy(frame->at + 6, peer_mac, 6);
	put(frame->at + 12, 2, type);
}

static void put_ip(struct bytes *frame, unsigned protocol, size_t total)
{
	uint8_t *ip = frame->at + IP;
	put(ip, 4, 0x45000000u | (unsigned)total);
	put(ip + 4, 4, 0x12344000); /* id, DF */
	put(ip + 8, 2, 3u << 8 | protocol);
	memcpy(ip + 12, peer_address, 4);
	memcpy(ip + 16, self.address, 4);
	fix_ip(ip);
}

static struct bytes udp_frame(size_t payload)
{
	struct bytes frame = make(DATA + payload);
	put_link(&frame, 0x0800);
	put_ip(&frame, 17, 28 + payload);
	put(frame.at + UDP, 2, 40000);
	put(frame.at + UDP + 2, 2, 7001);
	put(frame.at + UDP + 4, 2, 8 + payload);
	for (size_t i = 0; i < payload; i++)
		frame.at[DATA + i] = (uint8_t)(i * 7 + 1);
	fix_udp(frame.at + IP);
	return frame;
}

static struct bytes ping_frame(size_t payload)
{
	struct bytes frame = make(DATA + payload);
	put_link(&frame, 0x0800);
	put_ip(&frame, 1, 28 + payload);
	put(frame.at + ICMP, 1, 8);
	put(frame.at + ICMP + 4, 4, 0xabcd0001); /* identifier, sequence */
	for (size_t i = 0; i < payload; i++)
		frame.at[DATA + i] = (uint8_t)i;
	fix_icmp(frame.at + IP);
	return frame;
}

static struct bytes arp_frame(void)
{
	struct bytes frame = make(42);
	put_link(&frame, 0x0806);
	memset(frame.at, 0xff, 6);
	put(frame.at + ARP, 8, UINT64_C(0x0001080006040001));
	memcpy(frame.at + ARP + 8, peer_mac, 6);
	memcpy(frame.at + ARP + 14, peer_address, 4);
	memcpy(frame.at + ARP + 24, self.address, 4);
	return frame;
}

/* Puts tags between the addresses and the type. */
static void tag(struct bytes *frame, unsigned tags)
{
	size_t size = frame->size;
	resize(frame, size + 4 * tags);
	memmove(frame->at + 12 + 4 * tags, frame->at + 12, size - 12);
	for (unsigned i = 0; i < tags; i++)
		put(frame->at + 12 + 4 * i, 4,
		    (tags == 2 && i == 0 ? 0x88a8a000 : 0x8100a000) + 100 + i);
}

enum base { FROM_UDP, FROM_PING, FROM_ARP };

static struct bytes base_frame(enum base base)
{
	return base == FROM_UDP ? udp_frame(64) : base == FROM_PING ? ping_frame(56) : arp_frame();
}

enum fix { KEEP, FIX_IP, FIX_ALL };

Test(frame, every_reason_to_drop)
{
	/* Each row puts `value` in `width` bytes at `at` of a sound frame, makes checksums right
	 * again as `fix` says and cuts or pads the frame to `size` when that is not zero. */
	static const struct {
		const char *name;
		enum net_drop drop;
		enum base base;
		size_t at, width;
		uint64_t value;
		enum fix fix;
		size_t size;
	} rows[] = {
	    {"one byte", NET_DROP_RUNT, FROM_UDP, 0, 0, 0, KEEP, 1},
	    {"a byte less than a link header", NET_DROP_RUNT, FROM_UDP, 0, 0, 0, KEEP, 13},
	    {"tag cut off", NET_DROP_RUNT, FROM_UDP, 12, 2, 0x8100, KEEP, 17},
	    {"source is a group", NET_DROP_SOURCE_MAC, FROM_UDP, 6, 1, 0x03, KEEP, 0},
	    {"source is broadcast", NET_DROP_SOURCE_MAC, FROM_ARP, 6, 6, 0xffffffffffff, KEEP, 0},
	    {"source is zero", NET_DROP_SOURCE_MAC, FROM_UDP, 6, 6, 0, KEEP, 0},
	    {"another host's", NET_DROP_OTHER_MAC, FROM_UDP, 5, 1, 0x09, KEEP, 0},
	    {"multicast", NET_DROP_OTHER_MAC, FROM_UDP, 0, 6, 0x01005e000001, KEEP, 0},
	    {"three tags", NET_DROP_VLAN_DEPTH, FROM_UDP, 12, 10, 0, KEEP, 0},
	    {"IPv6", NET_DROP_ETHER_TYPE, FROM_UDP, 12, 2, 0x86dd, KEEP, 0},
	    {"length, not type", NET_DROP_ETHER_TYPE, FROM_UDP, 12, 2, 0x0100, KEEP, 0},
	    {"ARP cut off", NET_DROP_ARP_MALFORMED, FROM_ARP, 0, 0, 0, KEEP, 41},
	    {"ARP alone", NET_DROP_ARP_MALFORMED, FROM_ARP, 0, 0, 0, KEEP, 14},
	    {"ARP of other hardware", NET_DROP_ARP_MALFORMED, FROM_ARP, ARP, 2, 6, KEEP, 0},
	    {"ARP of other protocol", NET_DROP_ARP_MALFORMED, FROM_ARP, ARP + 2, 2, 0x86dd, KEEP,
	     0},
	    {"ARP of other sizes", NET_DROP_ARP_MALFORMED, FROM_ARP, ARP + 4, 2, 0x0610, KEEP, 0},
	    {"ARP sender MAC differs", NET_DROP_ARP_SENDER, FROM_ARP, ARP + 13, 1, 9, KEEP, 0},
	    {"ARP sender has our address", NET_DROP_ARP_SENDER, FROM_ARP, ARP + 17, 1, 1, KEEP, 0},
	    {"ARP reply", NET_DROP_ARP_OTHER, FROM_ARP, ARP + 6, 2, 2, KEEP, 0},
	    {"ARP for another", NET_DROP_ARP_OTHER, FROM_ARP, ARP + 27, 1, 3, KEEP, 0},
	    {"broadcast IPv4", NET_DROP_IP_BROADCAST, FROM_UDP, 0, 6, 0xffffffffffff, KEEP, 0},
	    {"link header alone", NET_DROP_IP_SHORT, FROM_UDP, 0, 0, 0, KEEP, 14},
	    {"IPv4 header cut off", NET_DROP_IP_SHORT, FROM_UDP, 0, 0, 0, KEEP, 33},
	    {"version 6", NET_DROP_IP_VERSION, FROM_UDP, IP, 1, 0x65, FIX_IP, 0},
	    {"options", NET_DROP_IP_OPTIONS, FROM_UDP, IP, 1, 0x46, FIX_IP, 0},
	    {"header of 16 bytes", NET_DROP_IP_OPTIONS, FROM_UDP, IP, 1, 0x44, FIX_IP, 0},
	    {"total below the header", NET_DROP_IP_LENGTH, FROM_UDP, IP + 2, 2, 19, FIX_IP, 0},
	    {"total zero", NET_DROP_IP_LENGTH, FROM_UDP, IP + 2, 2, 0, FIX_IP, 0},
	    {"total beyond the frame", NET_DROP_IP_LENGTH, FROM_UDP, IP + 2, 2, 93, FIX_IP, 0},
	    {"total largest", NET_DROP_IP_LENGTH, FROM_UDP, IP + 2, 2, 0xffff, FIX_IP, 0},
	    {"truncated", NET_DROP_IP_LENGTH, FROM_UDP, 0, 0, 0, KEEP, 105},
	    {"header damaged", NET_DROP_IP_CHECKSUM, FROM_UDP, IP + 8, 1, 9, KEEP, 0},
	    {"header checksum zero", NET_DROP_IP_CHECKSUM, FROM_UDP, IP + 10, 2, 0, KEEP, 0},
	    {"first fragment", NET_DROP_IP_FRAGMENT, FROM_UDP, IP + 6, 2, 0x2000, FIX_IP, 0},
	    {"last fragment", NET_DROP_IP_FRAGMENT, FROM_UDP, IP + 6, 2, 0x0001, FIX_IP, 0},
	    {"far fragment", NET_DROP_IP_FRAGMENT, FROM_UDP, IP + 6, 2, 0x1fff, FIX_IP, 0},
	    {"another address", NET_DROP_IP_OTHER, FROM_UDP, IP + 19, 1, 3, FIX_IP, 0},
	    {"to the network's broadcast", NET_DROP_IP_OTHER, FROM_PING, IP + 19, 1, 255, FIX_IP,
	     0},
	    {"from zero", NET_DROP_IP_SOURCE, FROM_UDP, IP + 12, 4, 0, FIX_ALL, 0},
	    {"from 0/8", NET_DROP_IP_SOURCE, FROM_UDP, IP + 12, 4, 0x00010203, FIX_ALL, 0},
	    {"from loopback", NET_DROP_IP_SOURCE, FROM_UDP, IP + 12, 4, 0x7f000001, FIX_ALL, 0},
	    {"from a group", NET_DROP_IP_SOURCE, FROM_UDP, IP + 12, 4, 0xe0000001, FIX_ALL, 0},
	    {"from class E", NET_DROP_IP_SOURCE, FROM_UDP, IP + 12, 4, 0xf0000001, FIX_ALL, 0},
	    {"from broadcast", NET_DROP_IP_SOURCE, FROM_UDP, IP + 12, 4, 0xffffffff, FIX_ALL, 0},
	    {"from our broadcast", NET_DROP_IP_SOURCE, FROM_PING, IP + 15, 1, 255, FIX_IP, 0},
	    {"from our network", NET_DROP_IP_SOURCE, FROM_UDP, IP + 15, 1, 0, FIX_ALL, 0},
	    {"from ourselves", NET_DROP_IP_SPOOFED, FROM_UDP, IP + 15, 1, 1, FIX_ALL, 0},
	    {"ping from ourselves", NET_DROP_IP_SPOOFED, FROM_PING, IP + 15, 1, 1, FIX_IP, 0},
	    {"TCP", NET_DROP_PROTOCOL, FROM_UDP, IP + 9, 1, 6, FIX_IP, 0},
	    {"ICMP cut off", NET_DROP_ICMP_LENGTH, FROM_PING, IP + 2, 2, 27, FIX_IP, 0},
	    {"echo reply", NET_DROP_ICMP_TYPE, FROM_PING, ICMP, 1, 0, FIX_ALL, 0},
	    {"unreachable", NET_DROP_ICMP_TYPE, FROM_PING, ICMP, 1, 3, FIX_ALL, 0},
	    {"echo with a code", NET_DROP_ICMP_TYPE, FROM_PING, ICMP + 1, 1, 1, FIX_ALL, 0},
	    {"ICMP damaged", NET_DROP_ICMP_CHECKSUM, FROM_PING, DATA + 55, 1, 0xee, KEEP, 0},
	    {"no UDP header", NET_DROP_UDP_LENGTH, FROM_UDP, IP + 2, 2, 27, FIX_IP, 0},
	    {"no UDP at all", NET_DROP_UDP_LENGTH, FROM_UDP, IP + 2, 2, 20, FIX_IP, 0},
	    {"UDP below its header", NET_DROP_UDP_LENGTH, FROM_UDP, UDP + 4, 2, 7, KEEP, 0},
	    {"UDP below IPv4's", NET_DROP_UDP_LENGTH, FROM_UDP, UDP + 4, 2, 71, KEEP, 0},
	    {"UDP beyond IPv4's", NET_DROP_UDP_LENGTH, FROM_UDP, UDP + 4, 2, 73, KEEP, 0},
	    {"from port zero", NET_DROP_UDP_SOURCE_PORT, FROM_UDP, UDP, 2, 0, FIX_ALL, 0},
	    {"UDP damaged", NET_DROP_UDP_CHECKSUM, FROM_UDP, DATA + 63, 1, 0xee, KEEP, 0},
	    {"UDP of another source", NET_DROP_UDP_CHECKSUM, FROM_UDP, IP + 15, 1, 9, FIX_IP, 0},
	};
	bool seen[NET_DROPS] = {false};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes frame = base_frame(rows[i].base);
		put(frame.at + rows[i].at, rows[i].width, rows[i].value);
		if (rows[i].drop == NET_DROP_VLAN_DEPTH)
			tag(&frame, 2), put(frame.at + 20, 2, 0x8100);
		if (rows[i].fix != KEEP)
			fix_ip(frame.at + IP);
		if (rows[i].fix == FIX_ALL && rows[i].base == FROM_UDP)
			fix_udp(frame.at + IP);
		if (rows[i].fix == FIX_ALL && rows[i].base == FROM_PING)
			fix_icmp(frame.at + IP);
		if (rows[i].size != 0)
			resize(&frame, rows[i].size);
		struct bytes before = make(frame.size);
		memcpy(before.at, frame.at, frame.size);

		struct net_frame out;
		enum net_verdict verdict = net_frame_parse(&self, frame.at, frame.size, 0, &out);
		cr_expect_eq(verdict, NET_VERDICT_DROP, "%s: verdict %d", rows[i].name, verdict);
		cr_expect_str_eq(net_drop_name(out.drop), net_drop_name(rows[i].drop), "%s: %s",
				 rows[i].name, net_drop_name(out.drop));
		cr_expect_eq(memcmp(before.at, frame.at, frame.size), 0, "%s: bytes kept",
			     rows[i].name);
		seen[rows[i].drop] = true;
		free(frame.at);
		free(before.at);
	}
	/* The last two are the caller's. */
	for (unsigned drop = 0; drop < NET_DROP_SEGMENTED; drop++)
		cr_expect(seen[drop], "no row for %s", net_drop_name(drop));
}

Test(frame, empty)
{
	struct bytes frame = make(0);
	struct net_frame out;
	cr_expect_eq(net_frame_parse(&self, frame.at, 0, 0, &out), NET_VERDICT_DROP);
	cr_expect_eq(out.drop, NET_DROP_RUNT);
	free(frame.at);
}

Test(frame, sources_that_look_odd_but_are_hosts)
{
	static const struct {
		uint32_t source;
		uint8_t prefix_bits;
	} rows[] = {
	    {0x0a4d00fe, 24}, /* last host of the network */
	    {0x0a4d01ff, 24}, /* 10.77.1.255: another network's matter */
	    {0x0a4d00ff, 23}, /* in a /23 an ordinary host */
	    {0x0a4d0000, 31}, /* networks of 31 bits have no broadcast address */
	    {0x0a4d00ff, 32}, {0xdfffffff, 24}, {0x01000000, 24}, {0x0a4d0002, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct net_interface interface = self;
		interface.prefix_bits = rows[i].prefix_bits;
		struct bytes frame = udp_frame(64);
		put(frame.at + IP + 12, 4, rows[i].source);
		fix_ip(frame.at + IP);
		fix_udp(frame.at + IP);
		struct net_frame out;
		cr_expect_eq(net_frame_parse(&interface, frame.at, frame.size, 0, &out),
			     NET_VERDICT_UDP, "row %zu: %s", i, net_drop_name(out.drop));
		free(frame.at);
	}
}

/* What holds for every reply to the frame that udp_frame() made. */
static void expect_reply(const struct bytes *frame, unsigned tags, size_t payload)
{
	const uint8_t *ip = frame->at + IP + 4 * tags;
	cr_expect_eq(memcmp(frame->at, peer_mac, 6), 0);
	cr_expect_eq(memcmp(frame->at + 6, self.mac, 6), 0);
	cr_expect_eq(get(ip - 2), 0x0800);
	cr_expect_eq(ip[0], 0x45);
	cr_expect_eq(get(ip + 2), 28 + payload);
	cr_expect_eq(get(ip + 6), 0x4000, "do not fragment");
	cr_expect_eq(ip[8], 64, "TTL is ours");
	cr_expect_eq(plain_checksum(ip, 20, 0), 0, "IPv4 checksum");
	cr_expect_eq(memcmp(ip + 12, self.address, 4), 0);
	cr_expect_eq(memcmp(ip + 16, peer_address, 4), 0);
	cr_expect_eq(get(ip + 20), 7001);
	cr_expect_eq(get(ip + 22), 40000);
	cr_expect_eq(get(ip + 24), 8 + payload);
	cr_expect_neq(get(ip + 26), 0, "UDP checksum is sent");
	cr_expect_eq(plain_checksum(ip + 20, 8 + payload, pseudo_sum(ip, 8 + payload)), 0,
		     "UDP checksum");
}

Test(frame, udp_request_and_reply)
{
	/* payload of the request and of its reply, tags, bytes of padding behind the request */
	static const struct {
		size_t request, reply;
		unsigned tags;
		size_t padding, reply_size;
	} rows[] = {
	    {64, 16, 0, 0, 60},
	    {64, 17, 0, 0, 60},
	    {64, 64, 0, 0, 106},
	    {64, 33, 1, 0, 79},
	    {64, 64, 2, 0, 114},
	    {32, 32, 0, 0, 74},
	    {0, 0, 0, 0, 42},
	    {0, 0, 0, 18, 60},
	    {7, 3, 0, 11, 60},
	    {1248, 1248, 0, 0, 1290},
	    {8972, 8971, 0, 0, 9013},
	    {8972, 8972, 2, 4, 9022},
	    {100, 100, 0, 300, 142},
	    {65507, 65507, 0, 0, 65507 + 42}, /* the most that IPv4 has words for */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes frame = udp_frame(rows[i].request);
		tag(&frame, rows[i].tags);
		resize(&frame, frame.size + rows[i].padding);
		memset(frame.at + frame.size - rows[i].padding, 0xa5, rows[i].padding);
		uint8_t tags[8];
		memcpy(tags, frame.at + 12, 4 * rows[i].tags);

		struct net_frame out;
		if (rows[i].request == 65507) {
			/* struct net_frame counts 16 bits of frame: cut as padding would be */
			cr_expect_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out),
				     NET_VERDICT_DROP);
			cr_expect_eq(out.drop, NET_DROP_IP_LENGTH);
			free(frame.at);
			continue;
		}
		cr_assert_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out), NET_VERDICT_UDP,
			     "row %zu: %s", i, net_drop_name(out.drop));
		cr_expect_eq(out.size, frame.size);
		cr_expect_eq(out.vlan_count, rows[i].tags);
		cr_expect_eq(out.vlan_id, rows[i].tags ? 100 : 0);
		cr_expect_eq(out.ip_offset, IP + 4 * rows[i].tags);
		cr_expect_eq(out.udp_offset, UDP + 4 * rows[i].tags);
		cr_expect_eq(out.payload_offset, DATA + 4 * rows[i].tags);
		cr_expect_eq(out.payload_size, rows[i].request);
		cr_expect_eq(out.source_port, 40000);
		cr_expect_eq(out.destination_port, 7001);

		for (size_t b = 0; b < rows[i].reply; b++)
			frame.at[out.payload_offset + b] = (uint8_t)(b * 13 + i);
		size_t size = net_frame_reply_udp(frame.at, &out, rows[i].reply, 0);
		cr_expect_eq(size, rows[i].reply_size, "row %zu: %zu bytes", i, size);
		cr_assert_leq(size, frame.size);
		cr_expect_eq(memcmp(tags, frame.at + 12, 4 * rows[i].tags), 0, "tags echoed");
		expect_reply(&frame, rows[i].tags, rows[i].reply);
		for (size_t b = out.payload_offset + rows[i].reply; b < size; b++)
			cr_expect_eq(frame.at[b], 0, "row %zu: padding shows old bytes", i);
		free(frame.at);
	}
}

Test(frame, udp_checksum_of_zero_is_none_and_is_never_sent)
{
	struct bytes frame = udp_frame(64);
	struct net_frame out;
	put(frame.at + UDP + 6, 2, 0);
	cr_assert_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out), NET_VERDICT_UDP);

	/* A reply whose sum comes to zero: choose the last two bytes so. */
	memset(frame.at + DATA, 0, 64);
	uint8_t *word = frame.at + DATA + 62;
	net_frame_reply_udp(frame.at, &out, 64, 0);
	unsigned checksum = get(frame.at + UDP + 6);
	put(word, 2, checksum);
	/* turn it round again and reply once more */
	net_frame_reply_udp(frame.at, &out, 64, 0);
	net_frame_reply_udp(frame.at, &out, 64, 0);
	cr_expect_eq(get(frame.at + UDP + 6), 0xffff);
	expect_reply(&frame, 0, 64);

	/* and such a frame passes on receive */
	net_frame_reply_udp(frame.at, &out, 64, 0);
	cr_expect_eq(get(frame.at + UDP + 6), 0xffff);
	cr_expect_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out), NET_VERDICT_UDP);
	free(frame.at);
}

Test(frame, checksums_verified_by_the_nic_are_not_verified_again)
{
	struct bytes frame = udp_frame(64);
	struct net_frame out;
	put(frame.at + UDP + 6, 2, 0x1234);
	cr_expect_eq(net_frame_parse(&self, frame.at, frame.size, NET_OFFLOAD_RX_IP, &out),
		     NET_VERDICT_DROP);
	cr_expect_eq(out.drop, NET_DROP_UDP_CHECKSUM);
	cr_expect_eq(net_frame_parse(&self, frame.at, frame.size, NET_OFFLOAD_RX_UDP, &out),
		     NET_VERDICT_UDP);
	put(frame.at + IP + 10, 2, 0x1234);
	cr_expect_eq(net_frame_parse(&self, frame.at, frame.size, NET_OFFLOAD_RX_UDP, &out),
		     NET_VERDICT_DROP);
	cr_expect_eq(out.drop, NET_DROP_IP_CHECKSUM);
	cr_expect_eq(net_frame_parse(&self, frame.at, frame.size,
				     NET_OFFLOAD_RX_UDP | NET_OFFLOAD_RX_IP, &out),
		     NET_VERDICT_UDP);
	free(frame.at);
}

Test(frame, checksums_left_to_the_nic_are_prepared)
{
	struct bytes frame = udp_frame(64);
	struct net_frame out;
	cr_assert_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out), NET_VERDICT_UDP);
	size_t size =
	    net_frame_reply_udp(frame.at, &out, 48, NET_OFFLOAD_TX_IP | NET_OFFLOAD_TX_UDP);
	cr_expect_eq(size, DATA + 48);
	cr_expect_eq(get(frame.at + IP + 10), 0, "the NIC adds over a zero field");
	/* the pseudo header's sum, not complemented */
	unsigned pseudo = ~plain_checksum(NULL, 0, pseudo_sum(frame.at + IP, 56)) & 0xffff;
	cr_expect_eq(get(frame.at + UDP + 6), pseudo);
	/* what the NIC then does makes a sound frame */
	fix_ip(frame.at + IP);
	put(frame.at + UDP + 6, 2, plain_checksum(frame.at + UDP, 56, 0));
	expect_reply(&frame, 0, 48);
	free(frame.at);
}

Test(frame, a_reply_longer_than_its_request_is_a_broken_invariant, .signal = SIGABRT)
{
	struct bytes frame = udp_frame(64);
	struct net_frame out;
	net_frame_parse(&self, frame.at, frame.size, 0, &out);
	net_frame_reply_udp(frame.at, &out, 65, 0);
}

Test(frame, type_of_service_keeps_its_class_and_loses_congestion_bits)
{
	struct bytes frame = udp_frame(64);
	struct net_frame out;
	frame.at[IP + 1] = 0xbb;
	fix_ip(frame.at + IP);
	cr_assert_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out), NET_VERDICT_UDP);
	net_frame_reply_udp(frame.at, &out, 64, 0);
	cr_expect_eq(frame.at[IP + 1], 0xb8);
	expect_reply(&frame, 0, 64);
	free(frame.at);
}

Test(frame, ping_is_answered_in_place)
{
	static const struct {
		size_t payload;
		unsigned tags;
		size_t padding, reply_size;
	} rows[] = {
	    {56, 0, 0, 98}, {56, 1, 0, 102}, {56, 2, 0, 106},	 {0, 0, 0, 42},
	    {0, 0, 18, 60}, {13, 0, 40, 60}, {8972, 0, 0, 9014}, {1, 0, 0, 43},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes frame = ping_frame(rows[i].payload);
		tag(&frame, rows[i].tags);
		resize(&frame, frame.size + rows[i].padding);
		memset(frame.at + frame.size - rows[i].padding, 0xa5, rows[i].padding);
		struct net_frame out;
		cr_assert_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out),
			     NET_VERDICT_REPLY, "row %zu: %s", i, net_drop_name(out.drop));
		cr_expect_eq(out.size, rows[i].reply_size, "row %zu: %u", i, out.size);
		const uint8_t *ip = frame.at + IP + 4 * rows[i].tags;
		cr_expect_eq(memcmp(frame.at, peer_mac, 6), 0);
		cr_expect_eq(memcmp(frame.at + 6, self.mac, 6), 0);
		cr_expect_eq(memcmp(ip + 12, self.address, 4), 0);
		cr_expect_eq(memcmp(ip + 16, peer_address, 4), 0);
		cr_expect_eq(plain_checksum(ip, 20, 0), 0);
		cr_expect_eq(ip[20], 0, "echo reply");
		cr_expect_eq(plain_checksum(ip + 20, 8 + rows[i].payload, 0), 0);
		cr_expect_eq(get(ip + 24), 0xabcd, "identifier");
		for (size_t b = 0; b < rows[i].payload; b++)
			cr_expect_eq(ip[28 + b], (uint8_t)b, "data echoed");
		for (const uint8_t *b = ip + 28 + rows[i].payload; b < frame.at + out.size; b++)
			cr_expect_eq(*b, 0, "row %zu: padding shows old bytes", i);
		free(frame.at);
	}
}

Test(frame, arp_request_is_answered_in_place)
{
	static const struct {
		const char *name;
		bool unicast, probe;
		unsigned tags;
		size_t padding, reply_size;
	} rows[] = {
	    {"broadcast", false, false, 0, 0, 42},   {"padded", false, false, 0, 18, 60},
	    {"unicast", true, false, 0, 0, 42},	     {"tagged", false, false, 1, 14, 60},
	    {"two tags", false, false, 2, 10, 60},   {"probe (RFC 5227)", false, true, 0, 18, 60},
	    {"padded long", true, false, 0, 80, 60},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bytes frame = arp_frame();
		if (rows[i].unicast)
			memcpy(frame.at, self.mac, 6);
		if (rows[i].probe)
			memset(frame.at + ARP + 14, 0, 4);
		tag(&frame, rows[i].tags);
		resize(&frame, frame.size + rows[i].padding);
		memset(frame.at + frame.size - rows[i].padding, 0xa5, rows[i].padding);
		struct net_frame out;
		cr_assert_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out),
			     NET_VERDICT_REPLY, "%s: %s", rows[i].name, net_drop_name(out.drop));
		cr_expect_eq(out.size, rows[i].reply_size, "%s: %u", rows[i].name, out.size);
		const uint8_t *arp = frame.at + ARP + 4 * rows[i].tags;
		static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 2};
		static const uint8_t nobody[4];
		cr_expect_eq(memcmp(frame.at, peer_mac, 6), 0, "%s", rows[i].name);
		cr_expect_eq(memcmp(frame.at + 6, self.mac, 6), 0);
		cr_expect_eq(memcmp(arp, head, 8), 0);
		cr_expect_eq(memcmp(arp + 8, self.mac, 6), 0);
		cr_expect_eq(memcmp(arp + 14, self.address, 4), 0);
		cr_expect_eq(memcmp(arp + 18, peer_mac, 6), 0);
		cr_expect_eq(memcmp(arp + 24, rows[i].probe ? nobody : peer_address, 4), 0);
		for (const uint8_t *b = arp + 28; b < frame.at + out.size; b++)
			cr_expect_eq(*b, 0, "%s: padding shows old bytes", rows[i].name);
		free(frame.at);
	}
}

Test(frame, a_peer_with_our_mac_is_answered)
{
	/* The kernel's side of a tap device has the MAC that the driver reports. */
	struct bytes frame = udp_frame(64);
	struct net_frame out;
	memcpy(frame.at + 6, self.mac, 6);
	cr_expect_eq(net_frame_parse(&self, frame.at, frame.size, 0, &out), NET_VERDICT_UDP);
	free(frame.at);
}

Test(frame, drops_have_names_of_their_own)
{
	for (unsigned i = 0; i < NET_DROPS; i++) {
		cr_expect_gt(strlen(net_drop_text(i)), 0);
		for (unsigned j = 0; j < i; j++) {
			cr_expect_str_neq(net_drop_name(i), net_drop_name(j));
			cr_expect_str_neq(net_drop_text(i), net_drop_text(j));
		}
	}
	cr_expect_str_eq(net_drop_name(NET_DROPS), "unknown");
	cr_expect_str_eq(net_drop_text(UINT32_MAX), "unknown");
}
