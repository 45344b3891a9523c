/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's socket: one thread that polls, a line in, a line out, never waiting for a client.
 *
 * A client is either asking (its line is being read) or being answered (its reply is being written,
 * nothing is read meanwhile). Each of the two has a deadline that does not move with progress, so
 * neither an idle nor a dripping client keeps its place.
 */
#include "controlplane/api.h"

#include "common/log.h"
#include "controlplane/api_answer.h"
#include "controlplane/api_request.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define PATIENCE_MS 30000 /* for a whole request, and for a whole reply to be taken */
#define PAUSE_MS 1000     /* when descriptors or memory ran out */
#define BACKLOG 16

struct client {
	int fd; /* -1: free place */
	int64_t deadline_ms;
	char request[CP_API_REQUEST_MAX + 1]; /* and its newline */
	size_t received;
	char *reply; /* NULL: asking */
	size_t reply_length;
	size_t sent;
	bool is_last; /* closed after its reply */
};

struct cp_api {
	struct cp_api_context context;
	struct sockaddr_un address;
	gid_t group;
	int listener;
	int stop;            /* eventfd */
	int64_t admit_at_ms; /* nobody is admitted before it */
	unsigned refused;    /* since that was logged last */
	int64_t refused_log_at_ms;
	pthread_t thread;
	struct client clients[CLIENTS_MAX];
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- who may ask ---- */

static bool has_supplementary_group(int fd, gid_t group)
{
	socklen_t size = 0;
	bool is_member = false;
	gid_t *groups;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) || errno != ERANGE)
		return false; /* it has none, or cannot be asked */
	groups = malloc(size);
	if (groups && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		for (size_t i = 0; i < size / sizeof(*groups); i++)
			is_member |= groups[i] == group;
	free(groups);
	return is_member;
}

static bool is_allowed(int fd, gid_t group)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == group)
		return true;
	return has_supplementary_group(fd, group);
}

/* ---- one client ---- */

static void drop(struct client *client)
{
	close(client->fd);
	free(client->reply);
	client->reply = NULL;
	client->fd = -1;
}

static void take_reply(struct client *client, char *reply)
{
	if (!reply) {
		sp_log(SP_LOG_ERR, "api: no memory for a reply");
		drop(client);
		return;
	}
	client->reply = reply;
	client->reply_length = strlen(reply);
	client->sent = 0;
	client->deadline_ms = now_ms() + PATIENCE_MS;
}

/* Answers the first whole line that was received, if there is one. */
static void answer(struct cp_api *api, struct client *client)
{
	char *end = memchr(client->request, '\n', client->received);
	size_t length;
	char *reply;

	if (!end && client->received < sizeof(client->request))
		return;
	if (!end) { /* too long; where the next request starts is unknown */
		client->is_last = true;
		take_reply(client, cp_api_answer(&api->context, client->request, client->received));
		return;
	}
	length = (size_t)(end - client->request);
	reply = cp_api_answer(&api->context, client->request, length);
	client->received -= length + 1;
	memmove(client->request, end + 1, client->received);
	take_reply(client, reply);
}

static void receive(struct cp_api *api, struct client *client)
{
	ssize_t got = recv(client->fd, client->request + client->received,
	                   sizeof(client->request) - client->received, 0);

	if (got > 0) {
		client->received += (size_t)got;
		answer(api, client);
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		drop(client);
	}
}

static void transmit(struct cp_api *api, struct client *client)
{
	ssize_t sent = send(client->fd, client->reply + client->sent,
	                    client->reply_length - client->sent, MSG_NOSIGNAL);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR)
			drop(client);
		return;
	}
	client->sent += (size_t)sent;
	if (client->sent < client->reply_length)
		return;
	free(client->reply);
	client->reply = NULL;
	client->deadline_ms = now_ms() + PATIENCE_MS;
	if (client->is_last)
		drop(client);
	else
		answer(api, client); /* it may have sent more than one line */
}

/* ---- the thread ---- */

static struct client *find_place(struct cp_api *api)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (api->clients[i].fd < 0)
			return &api->clients[i];
	return NULL;
}

/* Strangers can do this as often as they like: one line a while tells how often. */
static void refuse(struct cp_api *api, int fd)
{
	close(fd);
	api->refused++;
	if (now_ms() < api->refused_log_at_ms)
		return;
	sp_log(SP_LOG_WARN,
	       "api: refused clients that are neither root nor of the socket's group count=%u",
	       api->refused);
	api->refused = 0;
	api->refused_log_at_ms = now_ms() + PATIENCE_MS;
}

/* A client that finds no place waits in the backlog. */
static void admit(struct cp_api *api)
{
	struct client *client = find_place(api);
	int fd;

	if (!client)
		return;
	fd = accept4(api->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		sp_log(SP_LOG_WARN, "api: cannot admit a client error=\"%s\"", strerror(errno));
		api->admit_at_ms =
			now_ms() + PAUSE_MS; /* it stays in the backlog: do not spin on it */
	}
	if (fd < 0)
		return;
	if (!is_allowed(fd, api->group)) {
		refuse(api, fd);
		return;
	}
	client->fd = fd;
	client->received = 0;
	client->is_last = false;
	client->deadline_ms = now_ms() + PATIENCE_MS;
}

/* Fills POLLED: the stop event, the listener, then the clients by place. Returns poll()'s timeout.
 */
static int prepare(struct cp_api *api, struct pollfd polled[CLIENTS_MAX + 2])
{
	int64_t now = now_ms(), timeout = -1;
	bool is_admitting = find_place(api) && now >= api->admit_at_ms;

	if (now < api->admit_at_ms)
		timeout = api->admit_at_ms - now;
	polled[0] = (struct pollfd){ .fd = api->stop, .events = POLLIN };
	polled[1] = (struct pollfd){ .fd = is_admitting ? api->listener : -1, .events = POLLIN };
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		const struct client *client = &api->clients[i];
		int64_t left = client->deadline_ms - now;

		polled[i + 2] = (struct pollfd){ .fd = client->fd,
			                         .events = client->reply ? POLLOUT : POLLIN };
		if (client->fd >= 0 && (timeout < 0 || left < timeout))
			timeout = left > 0 ? left : 0;
	}
	return (int)timeout;
}

static void serve(struct cp_api *api, struct client *client, short events, int64_t now)
{
	if (client->fd < 0)
		return;
	if (now >= client->deadline_ms)
		drop(client);
	else if (events && client->reply)
		transmit(api, client);
	else if (events)
		receive(api, client);
}

static void *run(void *argument)
{
	struct cp_api *api = argument;
	struct pollfd polled[CLIENTS_MAX + 2];

	for (;;) {
		int ready = poll(polled, CLIENTS_MAX + 2, prepare(api, polled));

		if (ready < 0 && errno != EINTR) {
			sp_log(SP_LOG_ERR, "api: stops error=\"%s\"", strerror(errno));
			return NULL;
		}
		if (ready < 0)
			continue;
		if (polled[0].revents)
			return NULL;
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			serve(api, &api->clients[i], polled[i + 2].revents, now_ms());
		if (polled[1].revents)
			admit(api);
	}
}

/* ---- start and stop ---- */

/* Whether somebody serves at ADDRESS: 0 no (a left-over file is removed), -EADDRINUSE, -errno. */
static int clear_place(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EAGAIN)
		rc = -EADDRINUSE;
	else if (errno == ECONNREFUSED)
		rc = unlink(address->sun_path) ? -errno : 0;
	else if (errno != ENOENT)
		rc = -errno;
	close(fd);
	return rc;
}

/* Before listen() nobody gets in, so the owner and mode are right from the first client on. */
static int open_listener(const struct sockaddr_un *address, gid_t group)
{
	int rc = clear_place(address);
	int fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) ||
	    chown(address->sun_path, (uid_t)-1, group) || chmod(address->sun_path, 0660) ||
	    listen(fd, BACKLOG)) {
		rc = -errno;
		unlink(address->sun_path);
		close(fd);
		return rc;
	}
	return fd;
}

/* Fills what does not depend on where the listener comes from. */
static int create(const struct cp_api_context *context, const char *run_dir, struct cp_api **made)
{
	struct cp_api *api = calloc(1, sizeof(*api));
	int rc;

	*made = NULL;
	if (!api)
		return -ENOMEM;
	api->context = *context;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		api->clients[i].fd = -1;
	api->address.sun_family = AF_UNIX;
	rc = snprintf(api->address.sun_path, sizeof(api->address.sun_path), "%s/control.sock",
	              run_dir);
	if (rc < 0 || (size_t)rc >= sizeof(api->address.sun_path)) {
		free(api);
		return -ENAMETOOLONG;
	}
	*made = api;
	return 0;
}

static int start_thread(struct cp_api *api)
{
	int rc;

	api->stop = eventfd(0, EFD_CLOEXEC);
	if (api->stop < 0)
		return -errno;
	rc = -pthread_create(&api->thread, NULL, run, api);
	if (rc)
		close(api->stop);
	return rc;
}

int cp_api_start(const struct cp_api_context *context, const char *run_dir, gid_t group,
                 struct cp_api **started)
{
	struct cp_api *api;
	int rc;

	*started = NULL;
	rc = create(context, run_dir, &api);
	if (rc)
		return rc;
	api->group = group;
	rc = api->listener = open_listener(&api->address, group);
	if (rc < 0)
		goto err_api;
	rc = start_thread(api);
	if (rc)
		goto err_listener;
	*started = api;
	return 0;

err_listener:
	close(api->listener);
	unlink(api->address.sun_path);
err_api:
	free(api);
	return rc;
}

int cp_api_inherit(const struct cp_api_context *context, const char *run_dir, int listener,
                   struct cp_api **started)
{
	struct cp_api *api;
	struct stat status;
	int rc;

	*started = NULL;
	rc = create(context, run_dir, &api);
	if (rc)
		goto err_listener;
	api->listener = listener;
	/* who may ask does not change: the group that the socket was given to */
	rc = stat(api->address.sun_path, &status) ? -errno : 0;
	if (rc)
		goto err_api;
	api->group = status.st_gid;
	rc = start_thread(api);
	if (rc)
		goto err_api;
	*started = api;
	return 0;

err_api:
	free(api);
err_listener:
	close(listener);
	return rc;
}

int cp_api_listener(const struct cp_api *api)
{
	return api->listener;
}

/* Ends the thread and the connections. */
static void end(struct cp_api *api)
{
	if (eventfd_write(api->stop, 1))
		sp_log(SP_LOG_ERR, "api: cannot be told to stop error=\"%s\"", strerror(errno));
	pthread_join(api->thread, NULL);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (api->clients[i].fd >= 0)
			drop(&api->clients[i]);
	close(api->stop);
	close(api->listener);
}

void cp_api_leave(struct cp_api *api)
{
	end(api);
	free(api);
}

void cp_api_stop(struct cp_api *api)
{
	if (!api)
		return;
	end(api);
	/* who gave up root may not be allowed to: then the next start does it */
	if (unlink(api->address.sun_path) && errno != ENOENT && errno != EACCES)
		sp_log(SP_LOG_WARN, "api: cannot remove path=%s error=\"%s\"",
		       api->address.sun_path, strerror(errno));
	free(api);
}
