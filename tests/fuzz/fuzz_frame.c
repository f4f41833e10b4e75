/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a frame. Input: one byte of choices, then the frame.
 *
 *   bits 0..3   NET_OFFLOAD_* as the NIC would say
 *   bit  4      the reply's payload is half of the request's, not all of it
 *
 * Whatever comes: nothing beyond the frame is touched, a dropped frame is left as it came, an
 * answer is no longer than its request, and a peer accepts the answer as a sound frame.
 */
#include <stdlib.h>
#include <string.h>

#include "net/frame.h"
#include "tests/fuzz/target.h"

enum { UDP, UDP_TAGS, UDP_TO_PORT_ZERO, UDP_BY_NIC, ARP, ICMP, DROPPED };

struct fuzz_branch fuzz_branches[] = {
    [UDP] = {"UDP: the reply is accepted by the client", 0},
    [UDP_TAGS] = {"UDP behind two tags", 0},
    [UDP_TO_PORT_ZERO] = {"UDP to port zero", 0},
    [UDP_BY_NIC] = {"UDP: the reply's checksums left to the NIC", 0},
    [ARP] = {"ARP answered", 0},
    [ICMP] = {"ICMP echo answered", 0},
#define DROP_BRANCH(name, label, text) {"dropped: " text, 0},
    NET_DROP_LIST(DROP_BRANCH)
#undef DROP_BRANCH
	{NULL, 0},
};

/* Two reasons are given by the port and the engine, not by a frame's bytes. */
__attribute__((constructor)) static void leave_out_callers_reasons(void)
{
	fuzz_branches[DROPPED + NET_DROP_SEGMENTED].text = "";
	fuzz_branches[DROPPED + NET_DROP_UDP_PORT].text = "";
}

static const struct net_interface self = {
    .mac = {0x02, 0, 0, 0, 0, 0x01},
    .prefix_bits = 24,
    .address = {10, 77, 0, 1},
};

/* Checks the UDP reply in `bytes` with the eyes of the client that `frame` came from. */
static void check_reply(uint8_t *bytes, size_t size, const struct net_frame *frame,
			size_t payload_size)
{
	struct net_interface client = {.prefix_bits = 24};
	struct net_frame reply;

	memcpy(client.mac, bytes, sizeof(client.mac));
	memcpy(client.address, bytes + frame->ip_offset + 16, sizeof(client.address));
	enum net_verdict verdict = net_frame_parse(&client, bytes, size, 0, &reply);
	/* A service at port zero may have been asked; nobody answers from there. */
	if (frame->destination_port == 0) {
		fuzz_reach(UDP_TO_PORT_ZERO);
		CHECK(verdict == NET_VERDICT_DROP && reply.drop == NET_DROP_UDP_SOURCE_PORT);
		return;
	}
	CHECK(verdict == NET_VERDICT_UDP);
	CHECK(reply.payload_offset == frame->payload_offset);
	CHECK(reply.payload_size == payload_size);
	CHECK(reply.source_port == frame->destination_port);
	CHECK(reply.destination_port == frame->source_port);
	CHECK(reply.vlan_count == frame->vlan_count && reply.vlan_id == frame->vlan_id);
	fuzz_reach(reply.vlan_count == 2 ? UDP_TAGS : UDP);
}

static void check_udp(uint8_t *bytes, size_t size, const struct net_frame *frame, unsigned choice)
{
	CHECK(frame->payload_offset + (size_t)frame->payload_size <= size);
	CHECK(frame->source_port != 0);
	size_t payload_size = choice & 0x10 ? frame->payload_size / 2u : frame->payload_size;
	memset(bytes + frame->payload_offset, 0xc3, payload_size);
	size_t reply_size = net_frame_reply_udp(bytes, frame, payload_size, choice);
	CHECK(reply_size <= size);
	if (!(choice & (NET_OFFLOAD_TX_IP | NET_OFFLOAD_TX_UDP)))
		check_reply(bytes, reply_size, frame, payload_size);
	else
		fuzz_reach(UDP_BY_NIC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_frame frame;

	if (size == 0)
		return 0;
	unsigned choice = *data++;
	size--;
	/* An allocation of its own size, so that a sanitizer sees one byte too far. */
	uint8_t *bytes = malloc(size > 0 ? size : 1);
	CHECK(bytes != NULL);
	memcpy(bytes, data, size);

	switch (net_frame_parse(&self, bytes, size, choice & 0xf, &frame)) {
	case NET_VERDICT_UDP:
		check_udp(bytes, size, &frame, choice);
		break;
	case NET_VERDICT_REPLY:
		CHECK(frame.size <= size);
		CHECK(memcmp(bytes + 6, self.mac, sizeof(self.mac)) == 0);
		fuzz_reach(bytes[frame.ip_offset - 1] == 0x06 ? ARP : ICMP);
		break;
	case NET_VERDICT_DROP:
		CHECK(frame.drop < NET_DROPS);
		CHECK(memcmp(bytes, data, size) == 0);
		fuzz_reach(DROPPED + frame.drop);
		break;
	}
	free(bytes);
	return 0;
}
