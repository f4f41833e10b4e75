/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending. Datagrams of one size that go to one shard are handed to the kernel as one message, which
 * it cuts up late (UDP_SEGMENT), so that most of its work is done once for all of them:
 *
 *   flights     1440  1440  1440  96  1440  96  96
 *   messages   [ 1440  1440  1440  96 ][ 1440  96 ][ 96 ]      the last of each may be shorter
 *
 * A kernel or a device that cannot do it says so (EIO, EINVAL); then each is a message of its own.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "client/session.h"

/* Payloads of one message: below the largest IPv4 packet. Fewer than the 64 datagrams (BURST) that
 * every kernel with UDP_SEGMENT takes. */
#define SEGMENTS_BYTES_MAX 65000

#define CONTROL_BYTES CMSG_SPACE(sizeof(uint16_t))

struct volley {
	unsigned count; /* messages */
	struct mmsghdr messages[BURST];
	unsigned datagrams[BURST]; /* of each message */
	size_t bytes[BURST];	   /* likewise */
	struct iovec iov[BURST];   /* a datagram each */
	_Alignas(struct cmsghdr) uint8_t control[BURST][CONTROL_BYTES];
};

/* Returns how many of the volley's messages are off the sender's hands: sent, or lost already. Zero
 * when the kernel has no room for the moment. */
static unsigned send_burst(struct giro *giro, int fd, struct volley *volley)
{
	if (fd < 0)
		return volley->count;
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		const int sent = sendmmsg(fd, volley->messages, volley->count, 0);
		if (sent > 0)
			return (unsigned)sent;
		/* The refusal of an earlier datagram is reported once, in place of this send. */
		if (errno == ECONNREFUSED) {
			giro->statistics.unreachable++;
			continue;
		}
		if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR)
			return 0;
		break;
	}
	if ((errno == EIO || errno == EINVAL) && volley->datagrams[0] > 1) {
		giro->one_by_one = true;
		return 0;
	}
	giro->statistics.send_errors++;
	giro->send_errno = errno;
	return 1;
}

static void sent(struct giro *giro, struct client_peer *peer, struct client_flight *flight,
		 uint64_t now_ns)
{
	client_flight_unlink(giro, flight);
	flight->state = FLIGHT_SENT;
	peer->in_flight++;
	giro->in_flight++;
	giro->statistics.datagrams++;
	if (flight->silent > 0)
		giro->statistics.retransmits++;
	if (flight->first_sent_ns == 0)
		flight->first_sent_ns = now_ns;
	flight->doublings = client_congestion_doublings(&peer->congestion, flight->silent);
	flight->due_ns = now_ns + client_congestion_wait_ns(&peer->congestion, flight->doublings,
							    client_random_next(&giro->random));
	client_due(giro, flight->due_ns);
}

/* How many queued datagrams of `peer` window and pace allow now, BURST at most. When it is the pace
 * that keeps them, a timer brings the sender back. */
static unsigned allowed(struct giro *giro, struct client_peer *peer, uint64_t now_ns)
{
	const uint32_t window = client_window(peer);

	if (peer->in_flight >= window || giro->in_flight >= giro->options.in_flight)
		return 0;
	uint32_t count = window - peer->in_flight;
	if (count > giro->options.in_flight - giro->in_flight)
		count = giro->options.in_flight - giro->in_flight;
	if (count > peer->queued)
		count = peer->queued;
	if (count > BURST)
		count = BURST;
	const uint32_t paced = client_congestion_may_send(&peer->congestion, count, now_ns);
	if (paced == 0 && count > 0)
		client_wake(giro, now_ns + client_congestion_pause_ns(&peer->congestion, count));
	return paced;
}

/* May the datagram join the volley's last message? */
static bool joins(const struct volley *volley, size_t bytes)
{
	if (volley->count == 0)
		return false;
	const unsigned last = volley->count - 1;
	const size_t size = volley->messages[last].msg_hdr.msg_iov->iov_len;
	/* A shorter one ends it. */
	return bytes <= size && volley->bytes[last] == volley->datagrams[last] * size &&
	       volley->bytes[last] + bytes <= SEGMENTS_BYTES_MAX;
}

/* Tells the kernel the size at which to cut the message. */
static void cut_up(struct msghdr *message, uint8_t *control)
{
	const uint16_t size = (uint16_t)message->msg_iov->iov_len;

	/* Padding too: the kernel is given no bytes of ours that mean nothing. */
	memset(control, 0, CONTROL_BYTES);
	message->msg_control = control;
	message->msg_controllen = CONTROL_BYTES;
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_UDP;
	header->cmsg_type = UDP_SEGMENT;
	header->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(header), &size, sizeof(size));
}

/* The first `count` flights of the queue, noted in `flights`. */
static void load(struct volley *volley, const struct client_peer *peer, unsigned count,
		 struct client_flight **flights, bool one_by_one)
{
	struct client_flight *flight = TAILQ_FIRST(&peer->queue);

	volley->count = 0;
	for (unsigned i = 0; i < count; i++, flight = TAILQ_NEXT(flight, link)) {
		const size_t bytes =
		    sizeof(struct wire_header) + (size_t)flight->count * WIRE_RECORD_BYTES;
		flights[i] = flight;
		volley->iov[i] = (struct iovec){.iov_base = flight->payload, .iov_len = bytes};
		if (one_by_one || !joins(volley, bytes)) {
			volley->messages[volley->count].msg_hdr =
			    (struct msghdr){.msg_iov = &volley->iov[i]};
			volley->datagrams[volley->count] = 0;
			volley->bytes[volley->count++] = 0;
		}
		const unsigned last = volley->count - 1;
		volley->messages[last].msg_hdr.msg_iovlen++;
		volley->datagrams[last]++;
		volley->bytes[last] += bytes;
	}
	for (unsigned i = 0; i < volley->count; i++) {
		if (volley->datagrams[i] > 1)
			cut_up(&volley->messages[i].msg_hdr, volley->control[i]);
	}
}

static void send_to(struct giro *giro, struct client_peer *peer, uint64_t now_ns)
{
	struct client_flight *flights[BURST];
	struct volley volley;
	unsigned count;

	while ((count = allowed(giro, peer, now_ns)) > 0) {
		const bool one_by_one = giro->one_by_one;
		load(&volley, peer, count, flights, one_by_one);
		const unsigned messages = send_burst(giro, peer->fd, &volley);
		unsigned done = 0;
		for (unsigned i = 0; i < messages; i++)
			done += volley.datagrams[i];
		for (unsigned i = 0; i < done; i++)
			sent(giro, peer, flights[i], now_ns);
		client_congestion_sent(&peer->congestion, done);
		if (done == 0 && one_by_one == giro->one_by_one) {
			client_wake(giro, now_ns + SEND_PAUSE_NS);
			return;
		}
	}
}

void client_send(struct giro *giro, uint64_t now_ns)
{
	for (unsigned i = 0; i < SHARDS_MAX; i++) {
		if (giro->peer[i].queued > 0)
			send_to(giro, &giro->peer[i], now_ns);
	}
}
