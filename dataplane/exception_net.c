/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A namespace, a TUN device and sockets, by threads that end in the namespace. */
#include "dataplane/exception_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"

#define DEVICE "uplink"
#define NO_IPV6 "/proc/sys/net/ipv6/conf/all/disable_ipv6"
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_BETWEEN_S 10
#define KEEPALIVE_TRIES 6

struct job {
	int (*run)(struct job *job);
	struct dp_exception_net *net;
	uint32_t address_be;
	uint16_t port_be;
	uint16_t mtu;
	int result;
};

static void *start(void *argument)
{
	struct job *job = argument;

	job->result = job->run(job);
	return NULL;
}

/* Runs the job on a thread that is nowhere else afterwards, and returns its result. */
static int run_apart(struct job *job)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, start, job);

	if (rc)
		return -rc;
	pthread_join(thread, NULL);
	return job->result;
}

/* ---- the namespace ---- */

static struct sockaddr *make_address(struct sockaddr *to, uint32_t address_be)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = address_be };

	memcpy(to, &address, sizeof(address));
	return to;
}

static int give_address(int fd, const struct job *job)
{
	struct ifreq request = { .ifr_name = DEVICE };
	struct rtentry route = { .rt_flags = RTF_UP, .rt_dev = (char[]){ DEVICE } };

	make_address(&request.ifr_addr, job->address_be);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return -errno;
	make_address(&request.ifr_netmask, UINT32_MAX);
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		return -errno;
	request.ifr_mtu = job->mtu;
	if (ioctl(fd, SIOCSIFMTU, &request) < 0)
		return -errno;
	request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_NOARP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return -errno;
	make_address(&route.rt_dst, 0);
	make_address(&route.rt_genmask, 0);
	return ioctl(fd, SIOCADDRT, &route) < 0 ? -errno : 0;
}

/* What it sends without IPv6 being off is dropped, and counted for nothing. */
static void forbid_ipv6(void)
{
	int fd = open(NO_IPV6, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		sp_log(SP_LOG_DEBUG, "exception: IPv6 stays on in the namespace reason=\"%s\"",
		       strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int open_tun(void)
{
	struct ifreq request = { .ifr_name = DEVICE, .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int make(struct job *job)
{
	int space, tun, fd, rc;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	forbid_ipv6();
	space = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (space < 0)
		return -errno;
	tun = open_tun();
	if (tun < 0) {
		rc = tun;
		goto err_space;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? -errno : give_address(fd, job);
	if (fd >= 0)
		close(fd);
	if (rc)
		goto err_tun;
	*job->net = (struct dp_exception_net){ .tun = tun, .space = space };
	return 0;

err_tun:
	close(tun);
err_space:
	close(space);
	return rc;
}

int dp_exception_net_create(struct dp_exception_net *net, uint32_t address_be, uint16_t mtu)
{
	struct job job = { .run = make, .net = net, .address_be = address_be, .mtu = mtu };

	return run_apart(&job);
}

void dp_exception_net_destroy(struct dp_exception_net *net)
{
	if (net->tun < 0)
		return;
	close(net->tun);
	close(net->space);
	net->tun = -1;
}

/* ---- a socket ---- */

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int prepare(int fd, const struct job *job)
{
	const struct sockaddr_in own = { .sin_family = AF_INET,
		                         .sin_port = job->port_be,
		                         .sin_addr.s_addr = job->address_be };
	int rc = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (rc == 0)
		rc = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (rc == 0)
		rc = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	if (rc == 0)
		rc = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_BETWEEN_S);
	if (rc == 0)
		rc = set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES);
	if (rc == 0 && bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0)
		rc = -errno;
	return rc;
}

static int make_socket(struct job *job)
{
	int fd, rc;

	if (setns(job->net->space, CLONE_NEWNET) < 0)
		return -errno;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = prepare(fd, job);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

int dp_exception_net_socket(const struct dp_exception_net *net, uint32_t address_be,
                            uint16_t port_be)
{
	struct dp_exception_net at = *net;
	struct job job = {
		.run = make_socket, .net = &at, .address_be = address_be, .port_be = port_be
	};

	return run_apart(&job);
}
