/* SPDX-License-Identifier: Apache-2.0
 *
 * The port over net_ring, which gives back what is sent to it: no network, no privilege.
 */
#include "net/port.h"

#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <rte_eal.h>

static const struct net_port_config sound = {
    .address = {10, 77, 0, 1},
    .prefix_bits = 24,
    .queues = 1,
    .mtu = 1500,
    .rx_descriptors = 64,
    .tx_descriptors = 64,
    .mbufs = 1024,
};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1};

static struct net_port port;
static char error[NET_PORT_ERROR_MAX];

static void start_eal(void)
{
	char prefix[64];
	snprintf(prefix, sizeof(prefix), "--file-prefix=giro-unit-%d", (int)getpid());
	char *arguments[] = {
	    "unit-net",	      "--no-huge",	  "-m",	      "64", "--no-pci",
	    "--no-telemetry", "--no-shconf",	  "--lcores", "0",  "--log-level=error",
	    "--iova-mode=va", "--vdev=net_ring0", prefix};
	cr_assert_geq(rte_eal_init((int)(sizeof(arguments) / sizeof(arguments[0])), arguments), 0,
		      "EAL does not start");
}

/* EAL leaves its runtime folder behind; without shared configuration it is empty. */
static void stop_eal(void)
{
	char folder[256];
	snprintf(folder, sizeof(folder), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(folder);
}

TestSuite(port, .init = start_eal, .fini = stop_eal);

static void put16(uint8_t *bytes, unsigned value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static void open_port(const struct net_port_config *config)
{
	cr_assert_eq(net_port_open(&port, config, error), 0, "%s", error);
	/* net_ring has none of its own */
	memcpy(port.self.mac, own_mac, sizeof(own_mac));
}

/* A datagram for the port in an mbuf, without a UDP checksum. */
static struct rte_mbuf *datagram(size_t payload)
{
	static const uint8_t ip[20] = {0x45, 0, 0,  0,	0, 1, 0,  0,  64, 17,
				       0,    0, 10, 77, 0, 2, 10, 77, 0,  1};
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(port.pool);
	cr_assert_not_null(mbuf);
	uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(42 + payload));
	cr_assert_not_null(bytes);
	memset(bytes, 0, 42 + payload);
	memcpy(bytes, port.self.mac, 6);
	memcpy(bytes + 6, peer_mac, 6);
	put16(bytes + 12, 0x0800);
	memcpy(bytes + 14, ip, sizeof(ip));
	put16(bytes + 16, (unsigned)(28 + payload));
	unsigned sum = 0;
	for (unsigned i = 14; i < 34; i += 2)
		sum += (unsigned)(bytes[i] << 8 | bytes[i + 1]);
	put16(bytes + 24, ~((sum & 0xffff) + (sum >> 16)));
	put16(bytes + 34, 40000);
	put16(bytes + 36, 7001);
	put16(bytes + 38, (unsigned)(8 + payload));
	return mbuf;
}

/* Sends the frame through the ring and takes it back in. */
static struct rte_mbuf *through(struct rte_mbuf *mbuf)
{
	struct rte_mbuf *back[4];
	cr_assert_eq(net_port_tx(&port, 0, &mbuf, 1), 1);
	cr_assert_eq(net_port_rx(&port, 0, back, 4), 1);
	return back[0];
}

Test(port, says_what_is_wrong_with_a_configuration)
{
	struct net_port_config mtu_small = sound, mtu_large = sound, no_queue = sound,
			       queues = sound, prefix = sound, device = sound, mbufs = sound;
	mtu_small.mtu = 67;
	mtu_large.mtu = 9001;
	no_queue.queues = 0;
	queues.queues = NET_PORT_QUEUES_MAX + 1;
	prefix.prefix_bits = 33;
	device.device = "0000:77:00.0";
	mbufs.mbufs = 384;
	const struct {
		const struct net_port_config *config;
		const char *named;
	} rows[] = {
	    {&mtu_small, "MTU 67"},  {&mtu_large, "MTU 9001"},
	    {&no_queue, "0 queues"}, {&queues, "65 queues"},
	    {&prefix, "/33"},	     {&device, "\"0000:77:00.0\"; EAL has: net_ring0"},
	    {&mbufs, "384 mbufs"}, /* last: a device that was closed is gone */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&port, 0, sizeof(port));
		error[0] = '\0';
		cr_expect_eq(net_port_open(&port, rows[i].config, error), -1, "row %zu", i);
		cr_expect_not_null(strstr(error, rows[i].named), "row %zu: %s", i, error);
	}
}

Test(port, request_becomes_reply_in_its_own_mbuf)
{
	struct net_frame frame;
	open_port(&sound);
	unsigned available = rte_mempool_avail_count(port.pool);

	struct rte_mbuf *request = through(datagram(64));
	cr_assert_eq(net_port_parse(&port, 0, request, &frame), NET_VERDICT_UDP);
	cr_expect_eq(frame.payload_size, 64);
	cr_expect_eq(net_port_payload(request, &frame), net_port_bytes(request) + 42);
	memset(net_port_payload(request, &frame), 0x11, 32);
	net_port_reply(&port, request, &frame, 32);
	cr_expect_eq(request->pkt_len, 42 + 32);
	cr_expect_eq(request->data_len, 42 + 32);
	cr_expect_eq(memcmp(net_port_bytes(request), peer_mac, 6), 0);

	/* It is not for us; and it says so. */
	struct rte_mbuf *reply = through(request);
	cr_expect_eq(net_port_parse(&port, 0, reply, &frame), NET_VERDICT_DROP);
	cr_expect_eq(frame.drop, NET_DROP_OTHER_MAC);
	rte_pktmbuf_free(reply);
	net_port_count_drop(&port, 0, NET_DROP_UDP_PORT);

	struct net_port_stats stats;
	net_port_stats(&port, &stats);
	cr_expect_eq(stats.received, 2);
	cr_expect_eq(stats.sent, 2);
	cr_expect_eq(stats.dropped[NET_DROP_OTHER_MAC], 1);
	cr_expect_eq(stats.dropped[NET_DROP_UDP_PORT], 1);
	cr_expect_eq(stats.replied, 0);
	cr_expect_eq(rte_mempool_avail_count(port.pool), available, "every mbuf came back");
	net_port_close(&port);
}

Test(port, a_full_device_takes_a_part_of_the_burst)
{
	struct net_port_config many = sound;
	struct rte_mbuf *burst[32];
	struct net_frame frame;
	unsigned sent = 0, received = 0;
	uint16_t taken;

	many.mbufs = 4096;
	open_port(&many);
	do {
		for (unsigned i = 0; i < 32; i++)
			burst[i] = datagram(32);
		taken = net_port_tx(&port, 0, burst, 32);
		sent += taken;
	} while (taken == 32 && sent < many.mbufs);
	cr_expect_lt(taken, 32, "the ring has an end");
	/* what the device did not take is the caller's still */
	for (unsigned i = taken; i < 32; i++)
		rte_pktmbuf_free(burst[i]);

	for (uint16_t n; (n = net_port_rx(&port, 0, burst, 5)) > 0; received += n) {
		for (unsigned i = 0; i < n; i++) {
			cr_expect_eq(net_port_parse(&port, 0, burst[i], &frame), NET_VERDICT_UDP);
			rte_pktmbuf_free(burst[i]);
		}
	}
	struct net_port_stats stats;
	net_port_stats(&port, &stats);
	cr_expect_eq(received, sent);
	cr_expect_eq(stats.received, sent);
	cr_expect_eq(stats.sent, sent);
	cr_expect_eq(stats.tx_full, 1);
	cr_expect_eq(rte_mempool_in_use_count(port.pool), 0);
	net_port_close(&port);
}

Test(port, a_frame_in_segments_is_put_together)
{
	struct net_frame frame;
	open_port(&sound);

	struct rte_mbuf *head = datagram(64);
	struct rte_mbuf *tail = rte_pktmbuf_alloc(port.pool);
	uint8_t *second = (uint8_t *)rte_pktmbuf_append(tail, 50);
	memcpy(second, net_port_bytes(head) + 56, 50);
	rte_pktmbuf_trim(head, 50);
	cr_assert_eq(rte_pktmbuf_chain(head, tail), 0);
	cr_assert_eq(head->nb_segs, 2);
	cr_expect_eq(net_port_parse(&port, 0, head, &frame), NET_VERDICT_UDP);
	cr_expect_eq(head->nb_segs, 1);
	cr_expect_eq(frame.payload_size, 64);
	rte_pktmbuf_free(head);
	net_port_close(&port);
}

Test(port, steering_falls_back_to_software)
{
	static const uint16_t udp_ports[2] = {7001, 7002};
	static const uint16_t queues[2] = {0, 0};
	char text[2048] = "";
	open_port(&sound);
	cr_expect_not(net_port_steer(&port, udp_ports, queues, 2));
	cr_expect_eq(port.rules, 0);

	FILE *out = fmemopen(text, sizeof(text), "w");
	net_port_describe(&port, out);
	fclose(out);
	for (const char *const *word =
		 (const char *const[]){"net_ring0", "10.77.0.1/24", "MTU 1500", "1 queue ",
				       "RX UDP software", "hand-over in software; one queue",
				       "1024 mbufs", NULL};
	     *word != NULL; word++)
		cr_expect_not_null(strstr(text, *word), "%s is not in:\n%s", *word, text);
	net_port_close(&port);
}
