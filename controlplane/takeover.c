/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An upgrade: this control plane starts its successor, stands aside for it, and ends when the
 * successor has every tunnel up again. If that fails it goes on as if nothing had been.
 *
 * A thread of its own waits for the successor.
 */
#include "controlplane/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "controlplane/api.h"
#include "controlplane/notify.h"
#include "controlplane/successor.h"

#define START_MS 30000     /* to read its configuration and to start libcharon */
#define TAKE_OVER_MS 75000 /* more than the successor gives itself */
#define HIGH_DESCRIPTOR 64 /* out of the way of those that it gets */

struct cp_takeover {
	struct cp_takeover_options options;
	pthread_mutex_t lock; /* what follows */
	struct cp_api *api;
	enum cp_takeover_phase phase;
	char why[CP_TAKEOVER_WHY_LEN];
	pid_t successor; /* 0: none */
	int channel;
};

/* ---- the successor's start ---- */

static int spawn(const struct cp_takeover_options *options, int channel, int listener, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attributes);
	if (rc)
		goto err_actions;
	rc = posix_spawn_file_actions_adddup2(&actions, channel, CP_SUCCESSOR_CHANNEL);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, listener, CP_SUCCESSOR_LISTENER);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, CP_SUCCESSOR_END);
	if (!rc)
		rc = posix_spawnattr_setsigmask(&attributes, &none);
	if (!rc)
		rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (!rc)
		rc = posix_spawn(pid, options->program, &actions, &attributes, options->arguments,
		                 environ);
	posix_spawnattr_destroy(&attributes);
err_actions:
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* Starts it with the other end of *CHANNEL. */
static int start_successor(struct cp_takeover *takeover, int *channel, pid_t *pid)
{
	int ends[2], theirs, listener, rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
	listener = fcntl(cp_api_listener(takeover->api), F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
	rc = theirs < 0 || listener < 0 ? -errno : spawn(&takeover->options, theirs, listener, pid);
	close(ends[1]);
	if (theirs >= 0)
		close(theirs);
	if (listener >= 0)
		close(listener);
	if (rc)
		close(ends[0]);
	*channel = ends[0];
	return rc;
}

/* ---- waiting for it ---- */

/* Waits for a message of KIND. Returns 0, -ECONNABORTED (it says why not), -EPROTO (it says
 * something else), -ECONNRESET (it is gone) or -ETIMEDOUT. */
static int expect(int channel, enum cp_successor_kind kind, int timeout_ms, char *why, size_t size)
{
	struct pollfd input = { .fd = channel, .events = POLLIN };
	struct cp_successor_message message;
	ssize_t length;
	int ready;

	do {
		ready = poll(&input, 1, timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -ETIMEDOUT;
	length = recv(channel, &message, sizeof(message), 0);
	if (length <= 0)
		return -ECONNRESET;
	if (length != sizeof(message))
		return -EPROTO; /* the contract of another version, or no control plane at all */
	if (message.kind == kind)
		return 0;
	if (message.kind != CP_SUCCESSOR_FAILED)
		return -EPROTO;
	message.why[sizeof(message.why) - 1] = 0;
	snprintf(why, size, "%s", message.why);
	return -ECONNABORTED;
}

/* It is gone or will be: in words what became of it, unless it told why itself. */
static void bury(struct cp_takeover *takeover, int rc, char *why, size_t size)
{
	const pid_t pid = takeover->successor;
	int status;

	kill(pid, SIGKILL); /* our own child, not waited for yet; one that ended has its status */
	if (waitpid(pid, &status, 0) != pid)
		status = 0;
	pthread_mutex_lock(&takeover->lock);
	takeover->successor = 0;
	pthread_mutex_unlock(&takeover->lock);
	if (rc == -ECONNABORTED)
		return;
	if (rc == -ETIMEDOUT)
		snprintf(why, size, "the successor took too long");
	else if (rc == -EPROTO)
		snprintf(why, size,
		         "the successor says what we do not understand: is it of another version?");
	else if (WIFSIGNALED(status))
		snprintf(why, size, "the successor was ended by signal %d", WTERMSIG(status));
	else
		snprintf(why, size, "the successor ended with status %d: the log tells why",
		         WEXITSTATUS(status));
}

static int hand_over(struct cp_takeover *takeover, char *why, size_t size)
{
	const struct cp_successor_message go = { .kind = CP_SUCCESSOR_GO };
	int rc = expect(takeover->channel, CP_SUCCESSOR_READY, START_MS, why, size);

	if (rc != 0) {
		bury(takeover, rc, why, size);
		return rc;
	}
	cp_supervisor_step_aside(takeover->options.supervisor);
	rc = send(takeover->channel, &go, sizeof(go), MSG_NOSIGNAL) < 0 ? -ECONNRESET : 0;
	if (rc == 0)
		rc = expect(takeover->channel, CP_SUCCESSOR_DONE, TAKE_OVER_MS, why, size);
	if (rc == 0)
		return 0;
	/* first it must be gone: two that connect in turn would take the dataplane from each other
	 */
	bury(takeover, rc, why, size);
	cp_supervisor_take_back(takeover->options.supervisor);
	return rc;
}

static void *run(void *argument)
{
	struct cp_takeover *takeover = argument;
	char why[CP_TAKEOVER_WHY_LEN] = "";
	int rc = hand_over(takeover, why, sizeof(why));

	if (rc == 0) {
		cp_supervisor_mute(takeover->options.supervisor);
		cp_api_leave(takeover->api);
		cp_notify_successor(takeover->successor);
		sp_log(SP_LOG_INFO, "takeover: ended, the successor serves pid=%d",
		       (int)takeover->successor);
		_exit(EXIT_SUCCESS);
	}
	sp_log(SP_LOG_ERR, "takeover: failed, this control plane goes on why=\"%s\"", why);
	pthread_mutex_lock(&takeover->lock);
	close(takeover->channel);
	takeover->phase = CP_TAKEOVER_FAILED;
	memcpy(takeover->why, why, sizeof(takeover->why));
	pthread_mutex_unlock(&takeover->lock);
	return NULL;
}

/* ---- public ---- */

int cp_takeover_create(const struct cp_takeover_options *options, struct cp_takeover **takeover)
{
	struct cp_takeover *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->options = *options;
	pthread_mutex_init(&new->lock, NULL);
	*takeover = new;
	return 0;
}

void cp_takeover_set_api(struct cp_takeover *takeover, struct cp_api *api)
{
	pthread_mutex_lock(&takeover->lock);
	takeover->api = api;
	pthread_mutex_unlock(&takeover->lock);
}

int cp_takeover_begin(struct cp_takeover *takeover, pid_t *pid)
{
	pthread_t thread;
	int rc = 0;

	/* the kernel ends all processes of a container with the first one (pid_namespaces(7)) */
	if (getpid() == 1)
		return -ENOTSUP;
	pthread_mutex_lock(&takeover->lock);
	if (!takeover->api)
		rc = -EAGAIN;
	else if (takeover->phase == CP_TAKEOVER_RUNNING)
		rc = -EALREADY;
	if (rc == 0)
		rc = start_successor(takeover, &takeover->channel, &takeover->successor);
	if (rc == 0) {
		*pid = takeover->successor;
		takeover->phase = CP_TAKEOVER_RUNNING;
		takeover->why[0] = 0;
		sp_log(SP_LOG_INFO, "takeover: started a successor pid=%d program=%s", (int)*pid,
		       takeover->options.program);
		rc = -pthread_create(&thread, NULL, run, takeover);
		if (rc == 0) {
			pthread_detach(thread);
		} else {
			kill(takeover->successor, SIGKILL);
			waitpid(takeover->successor, NULL, 0);
			close(takeover->channel);
			takeover->phase = CP_TAKEOVER_FAILED;
			snprintf(takeover->why, sizeof(takeover->why),
			         "there is no thread to wait for the successor");
		}
	}
	pthread_mutex_unlock(&takeover->lock);
	return rc;
}

void cp_takeover_cancel(struct cp_takeover *takeover)
{
	pthread_mutex_lock(&takeover->lock);
	if (takeover->successor > 0)
		kill(takeover->successor, SIGTERM);
	pthread_mutex_unlock(&takeover->lock);
}

enum cp_takeover_phase cp_takeover_phase(struct cp_takeover *takeover,
                                         char why[CP_TAKEOVER_WHY_LEN])
{
	enum cp_takeover_phase phase;

	pthread_mutex_lock(&takeover->lock);
	phase = takeover->phase;
	memcpy(why, takeover->why, CP_TAKEOVER_WHY_LEN);
	pthread_mutex_unlock(&takeover->lock);
	return phase;
}
