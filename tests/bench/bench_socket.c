/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int bench_socket(const char *from, const char *address, unsigned port, int bytes)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in own = {.sin_family = AF_INET};

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    (from != NULL && inet_pton(AF_INET, from, &own.sin_addr) != 1)) {
		errno = EINVAL;
		return -1;
	}
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	if ((from != NULL && bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0) ||
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}
