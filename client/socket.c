/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client/session.h"

int client_socket_open(struct giro *giro, const struct sockaddr_in *address)
{
	const int size = SOCKET_BUFFER_BYTES;
	const int never_fragment = IP_PMTUDISC_DO; /* the engine takes no fragments */
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &never_fragment, sizeof(never_fragment)))
		goto fail;
	/* Smaller buffers cost repeats, not correctness, so a refusal is no error. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		goto fail;
	if (epoll_ctl(giro->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		goto fail;
	return fd;

fail:;
	const int why = errno;
	close(fd);
	errno = why;
	return -1;
}

void client_socket_close(struct giro *giro, int fd)
{
	if (fd < 0)
		return;
	epoll_ctl(giro->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	close(fd);
}

static void receive_from(struct giro *giro, int fd)
{
	for (unsigned bursts = 0; bursts < BURSTS_IN_A_ROW; bursts++) {
		const int got = recvmmsg(fd, giro->receive_message, BURST, 0, NULL);
		if (got < 0 && errno == ECONNREFUSED) {
			giro->statistics.unreachable++;
			continue;
		}
		if (got <= 0)
			return;
		const uint64_t now_ns = client_now_ns();
		for (int i = 0; i < got; i++) {
			const struct mmsghdr *message = &giro->receive_message[i];
			if (message->msg_hdr.msg_flags & MSG_TRUNC)
				giro->statistics.replies_bad++;
			else
				client_answer(giro, giro->receive_iov[i].iov_base, message->msg_len,
					      now_ns);
		}
		if (got < BURST)
			return;
	}
}

void client_receive(struct giro *giro)
{
	struct epoll_event events[SHARDS_MAX + 2];
	const int count = epoll_wait(giro->epoll_fd, events, SHARDS_MAX + 2, 0);

	for (int i = 0; i < count; i++) {
		const int fd = events[i].data.fd;
		uint64_t expiries;
		if (fd != giro->timer_fd)
			receive_from(giro, fd);
		else if (read(fd, &expiries, sizeof(expiries)) > 0)
			giro->armed_ns = 0;
	}
}

/* Returns how many of the `count` messages are off the sender's hands: sent, or lost already. Zero
 * when the kernel has no room for the moment. */
static unsigned send_burst(struct giro *giro, int fd, struct mmsghdr *messages, unsigned count)
{
	if (fd < 0)
		return count;
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		const int sent = sendmmsg(fd, messages, count, 0);
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
	flight->due_ns = now_ns + client_congestion_wait_ns(&peer->congestion, flight->silent,
							    client_random_next(&giro->random));
	client_due(giro, flight->due_ns);
}

static void send_to(struct giro *giro, struct client_peer *peer, uint64_t now_ns)
{
	struct client_flight *flights[BURST];
	struct iovec iov[BURST];
	struct mmsghdr messages[BURST];

	while (peer->queued > 0) {
		const uint32_t window = client_window(peer);
		struct client_flight *flight = TAILQ_FIRST(&peer->queue);
		unsigned count = 0;
		while (flight && count < BURST && peer->in_flight + count < window &&
		       giro->in_flight + count < giro->options.in_flight) {
			flights[count] = flight;
			iov[count] = (struct iovec){
			    .iov_base = flight->payload,
			    .iov_len = sizeof(struct wire_header) +
				       (size_t)flight->count * WIRE_RECORD_BYTES,
			};
			messages[count].msg_hdr = (struct msghdr){
			    .msg_iov = &iov[count],
			    .msg_iovlen = 1,
			};
			count++;
			flight = TAILQ_NEXT(flight, link);
		}
		if (count == 0)
			return;
		const unsigned done = send_burst(giro, peer->fd, messages, count);
		for (unsigned i = 0; i < done; i++)
			sent(giro, peer, flights[i], now_ns);
		if (done == 0) {
			client_due(giro, now_ns + SEND_PAUSE_NS);
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
