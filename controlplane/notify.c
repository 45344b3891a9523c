/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a service manager is told, as sd_notify(3) has it.
 */
#include "controlplane/notify.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define PATIENCE_MS 5000

/* Sends TEXT, and FD with it unless that is negative. */
static int send_text(int to, const struct sockaddr_un *address, socklen_t address_length,
                     const char *text, int fd)
{
	struct iovec part = { (void *)text, strlen(text) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_name = (void *)address,
		                  .msg_namelen = address_length,
		                  .msg_iov = &part,
		                  .msg_iovlen = 1 };

	if (fd >= 0) {
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)),
			                         .cmsg_level = SOL_SOCKET,
			                         .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The manager closes its copy of a pipe's end when it has read all that was sent before. */
static int wait_until_read(int to, const struct sockaddr_un *address, socklen_t address_length)
{
	struct pollfd end = { .events = 0 }; /* POLLHUP comes unasked */
	int ends[2], rc;

	if (pipe(ends) != 0)
		return -errno;
	rc = send_text(to, address, address_length, "BARRIER=1", ends[1]);
	close(ends[1]);
	end.fd = ends[0];
	if (rc == 0 && poll(&end, 1, PATIENCE_MS) <= 0)
		rc = -ETIMEDOUT;
	close(ends[0]);
	return rc;
}

void cp_notify_successor(pid_t successor)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length;
	char text[32];
	int to, rc;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = 0;
	to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(text, sizeof(text), "MAINPID=%d", (int)successor);
	rc = to < 0 ? -errno : send_text(to, &address, length, text, -1);
	if (rc == 0)
		rc = wait_until_read(to, &address, length);
	if (rc != 0)
		sp_log(SP_LOG_WARN, "notify: the service manager took no notice error=%s",
		       strerror(-rc));
	if (to >= 0)
		close(to);
}
