/* SPDX-License-Identifier: Apache-2.0 */
#include "net/kernel_interface.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLAIM_STEP_MS 20

static int any_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

uint32_t net_kernel_raise_mtu(unsigned index, uint16_t wanted, char name[IF_NAMESIZE])
{
	struct ifreq request = {0};
	uint32_t mtu = 0;

	if (index == 0 || if_indextoname(index, name) == NULL)
		return 0;
	int fd = any_socket();
	if (fd < 0)
		return 0;
	memcpy(request.ifr_name, name, IF_NAMESIZE);
	if (ioctl(fd, SIOCGIFMTU, &request) == 0)
		mtu = (uint32_t)request.ifr_mtu;
	if (mtu > 0 && mtu < wanted) {
		request.ifr_mtu = wanted;
		mtu = ioctl(fd, SIOCSIFMTU, &request) == 0 ? wanted : mtu;
	}
	close(fd);
	return mtu;
}

bool net_kernel_is_up(unsigned index)
{
	const short wanted = IFF_UP | IFF_RUNNING;
	struct ifreq request = {0};

	int fd = any_socket();
	if (fd < 0)
		return true; /* out of descriptors is no news of the link */
	bool up = if_indextoname(index, request.ifr_name) != NULL &&
		  ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & wanted) == wanted;
	close(fd);
	return up;
}

/* An abstract socket's name belongs to the namespace, and goes with the process. */
int net_kernel_claim(unsigned index, const uint8_t address[4], uint32_t wait_ms)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int length =
	    snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "giro-engine/%u/%u.%u.%u.%u",
		     index, address[0], address[1], address[2], address[3]);
	socklen_t bytes = (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1 + (socklen_t)length;

	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	for (uint32_t waited_ms = 0;; waited_ms += CLAIM_STEP_MS) {
		if (bind(fd, (const struct sockaddr *)&name, bytes) == 0)
			return fd;
		if (errno != EADDRINUSE || waited_ms >= wait_ms)
			break;
		usleep(CLAIM_STEP_MS * 1000);
	}
	int error = -errno;
	close(fd);
	return error;
}
