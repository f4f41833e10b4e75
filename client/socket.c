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
