/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A successor's part in an upgrade (takeover.h): its predecessor started it and waits at the other
 * end of a channel.
 */
#include "controlplane/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

/* A server gives an IKE_SA up that does not answer for 165 s (strongSwan's default): the
 * predecessor, which does not answer meanwhile, must be back long before. */
#define TAKE_OVER_MS 60000u
#define LOOK_MS 50
#define FAREWELL_MS 10000

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void tell(enum cp_successor_kind kind, const char *why)
{
	struct cp_successor_message message = { .kind = kind };

	snprintf(message.why, sizeof(message.why), "%s", why);
	/* one that is gone is noticed when it is waited for */
	if (send(CP_SUCCESSOR_CHANNEL, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		sp_log(SP_LOG_WARN, "successor: the predecessor cannot be told error=%s",
		       strerror(errno));
}

/* Whether the predecessor went away within MS milliseconds. */
static bool is_alone_within(int ms)
{
	struct pollfd end = { .fd = CP_SUCCESSOR_CHANNEL, .events = POLLIN };

	return poll(&end, 1, ms) > 0;
}

static bool has_option(int fd, int option, int wanted)
{
	int value;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

int cp_successor_check(void)
{
	if (!has_option(CP_SUCCESSOR_CHANNEL, SO_TYPE, SOCK_SEQPACKET) ||
	    !has_option(CP_SUCCESSOR_LISTENER, SO_ACCEPTCONN, 1))
		return -EBADF;
	fcntl(CP_SUCCESSOR_CHANNEL, F_SETFD, FD_CLOEXEC);
	fcntl(CP_SUCCESSOR_LISTENER, F_SETFD, FD_CLOEXEC);
	return 0;
}

int cp_successor_wait(void)
{
	struct cp_successor_message message;
	ssize_t length;

	tell(CP_SUCCESSOR_READY, "");
	do {
		length = recv(CP_SUCCESSOR_CHANNEL, &message, sizeof(message), 0);
	} while (length < 0 && errno == EINTR);
	if (length == sizeof(message) && message.kind == CP_SUCCESSOR_GO)
		return 0;
	sp_log(SP_LOG_ERR, "successor: the predecessor does not hand over error=%s",
	       length < 0 ? strerror(errno) : "it is gone");
	return -ECONNRESET;
}

static void leave(void)
{
	close(CP_SUCCESSOR_CHANNEL);
}

int cp_successor_take_over(struct cp_supervisor *supervisor)
{
	const uint64_t deadline_ms = now_ms() + TAKE_OVER_MS;
	struct cp_progress progress;

	for (;;) {
		const bool is_known = cp_supervisor_progress(supervisor, &progress);

		if (is_known && progress.up == progress.wanted)
			break;
		if (now_ms() >= deadline_ms || (is_known && progress.failed &&
		                                progress.up + progress.failed == progress.wanted)) {
			if (!is_known)
				snprintf(progress.why, sizeof(progress.why),
				         "the dataplane could not be asked");
			sp_log(SP_LOG_ERR,
			       "successor: cannot take over tunnels=%zu up=%zu why=\"%s\"",
			       progress.wanted, progress.up, progress.why);
			cp_supervisor_mute(supervisor);
			tell(CP_SUCCESSOR_FAILED, progress.why);
			return -ETIMEDOUT;
		}
		if (is_alone_within(LOOK_MS)) {
			sp_log(SP_LOG_WARN,
			       "successor: the predecessor ended before its time tunnels=%zu up=%zu",
			       progress.wanted, progress.up);
			leave();
			return 0;
		}
	}
	tell(CP_SUCCESSOR_DONE, "");
	if (!is_alone_within(FAREWELL_MS))
		sp_log(SP_LOG_WARN, "successor: the predecessor does not end");
	leave();
	sp_log(SP_LOG_INFO, "successor: took over tunnels=%zu", progress.wanted);
	return 0;
}
