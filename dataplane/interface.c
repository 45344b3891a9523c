/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel counts of an interface that a device stands on. */
#include "dataplane/interface.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Its answer to one RTM_GETSTATS is there when send() returns. */
static ssize_t ask(uint32_t index, void *answer, size_t size)
{
	const struct {
		struct nlmsghdr header;
		struct if_stats_msg body;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
		            .nlmsg_type = RTM_GETSTATS,
		            .nlmsg_flags = NLM_F_REQUEST },
		.body = { .ifindex = index,
		          .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64) },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n = -1;
	int error;

	if (fd < 0)
		return -errno;
	if (send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request))
		n = recv(fd, answer, size, MSG_DONTWAIT);
	error = errno;
	close(fd);
	return n < 0 ? -error : n;
}

int dp_interface_rx_dropped(uint32_t index, uint64_t *dropped)
{
	union {
		struct nlmsghdr header;
		uint8_t bytes[1024];
	} answer;
	ssize_t n = ask(index, &answer, sizeof(answer));
	const struct rtattr *attribute;
	struct rtnl_link_stats64 stats;
	int left;

	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(&answer.header, (size_t)n) || answer.header.nlmsg_type != RTM_NEWSTATS ||
	    answer.header.nlmsg_len < NLMSG_SPACE(sizeof(struct if_stats_msg)))
		return -ENODEV;
	left = (int)(answer.header.nlmsg_len - NLMSG_SPACE(sizeof(struct if_stats_msg)));
	attribute = (const struct rtattr *)(const void *)(answer.bytes +
	                                                  NLMSG_SPACE(sizeof(struct if_stats_msg)));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type != IFLA_STATS_LINK_64 ||
		    RTA_PAYLOAD(attribute) < offsetof(struct rtnl_link_stats64, tx_dropped))
			continue;
		memset(&stats, 0, sizeof(stats));
		memcpy(&stats, RTA_DATA(attribute),
		       RTA_PAYLOAD(attribute) < sizeof(stats) ? RTA_PAYLOAD(attribute)
		                                              : sizeof(stats));
		*dropped = stats.rx_dropped;
		return 0;
	}
	return -ENODATA;
}
