/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to the dataplane: keeps it up, and carries requests of any thread.
 */
#include "controlplane/dp_client_private.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/ipc_codec.h"
#include "common/ipc_sock.h"
#include "common/log.h"

#define CONNECT_PAUSE_MIN_MS 100
#define CONNECT_PAUSE_MAX_MS 2000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- sending ---- */

/* With the lock held. A full queue is waited for without the lock, for a connection that is still
 * the same one. */
static int send_locked(struct cp_dp *client, uint16_t type, uint32_t seq, const void *body,
                       size_t length, int64_t deadline_ms)
{
	const int fd = client->fd;

	for (;;) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };
		int rc = fd < 0 || fd != client->fd
		                 ? -ENOTCONN
		                 : ipc_send(fd, type, 0, seq, 0, body, length, NULL, 0);

		if (rc != -EAGAIN)
			return rc;
		if (now_ms() >= deadline_ms)
			return -EAGAIN;
		pthread_mutex_unlock(&client->lock);
		poll(&room, 1, 10);
		pthread_mutex_lock(&client->lock);
	}
}

static uint32_t take_seq(struct cp_dp *client)
{
	if (++client->next_seq == 0)
		client->next_seq = 1; /* 0 is for events */
	return client->next_seq;
}

/* ---- receiving, on the connection's thread ---- */

static void dispatch(struct cp_dp *client, const struct ipc_header *header, const void *body)
{
	if (header->flags & IPC_REPLY) {
		pthread_mutex_lock(&client->lock);
		if (cp_dp_waiters_answer(&client->waiters, header, body, ipc_body_length(header),
		                         client->descriptor))
			client->descriptor = -1;
		pthread_mutex_unlock(&client->lock);
	} else if (header->type == IPC_EVENT) {
		const struct ipc_event *event = body;

		client->callbacks.changed(client->callbacks.context, event->changed);
	} else if (header->type == IPC_STREAM_RX && client->callbacks.stream) {
		const struct ipc_punt *punt = body;

		client->callbacks.stream(client->callbacks.context, punt, punt + 1);
	} else if (header->type == IPC_PUNT_RX) {
		const struct ipc_punt *punt = body;

		client->callbacks.datagram(client->callbacks.context, punt, punt + 1);
	} else {
		sp_log(SP_LOG_WARN, "dp: ignored an unexpected message type=%s",
		       ipc_type_name(header->type));
	}
}

/* Of a message that nobody wanted. */
static void close_descriptor(struct cp_dp *client)
{
	if (client->descriptor >= 0)
		close(client->descriptor);
	client->descriptor = -1;
}

/* Waits for one message until DEADLINE_MS (-1: for ever). Returns 0 or -errno; HEADER and BODY are
 * valid until the next call. */
static int receive(struct cp_dp *client, int64_t deadline_ms, const struct ipc_header **header,
                   const void **body)
{
	for (;;) {
		struct pollfd input = { .fd = client->fd, .events = POLLIN };
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
		ssize_t length;
		int rc;

		if (deadline_ms >= 0 && left <= 0)
			return -ETIMEDOUT;
		if (poll(&input, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		close_descriptor(client);
		length = ipc_receive_descriptor(client->fd, client->message,
		                                sizeof(client->message), &client->descriptor);
		if (length == -EAGAIN)
			continue;
		if (length <= 0)
			return length == 0 ? -ECONNRESET : (int)length;
		rc = ipc_decode(client->message, (size_t)length, header, body);
		if (rc != 0)
			sp_log(SP_LOG_ERR,
			       "dp: the dataplane sent a message that is not valid error=%s",
			       strerror(-rc));
		return rc;
	}
}

int cp_dp_transact(struct cp_dp *client, uint16_t type, const void *body, size_t length,
                   int timeout_ms, char why[CP_DP_WHY_LEN])
{
	const int64_t deadline_ms = now_ms() + timeout_ms;
	uint32_t seq;
	int rc;

	pthread_mutex_lock(&client->lock);
	seq = take_seq(client);
	rc = send_locked(client, type, seq, body, length, deadline_ms);
	pthread_mutex_unlock(&client->lock);
	while (rc == 0) {
		const struct ipc_header *header;
		const void *answer;

		rc = receive(client, deadline_ms, &header, &answer);
		if (rc != 0)
			break;
		if (!(header->flags & IPC_REPLY) || header->seq != seq) {
			dispatch(client, header, answer);
			continue;
		}
		if (header->status == 0)
			return 0;
		if (ipc_body_length(header) == sizeof(struct ipc_refusal))
			snprintf(why, CP_DP_WHY_LEN, "%.255s",
			         ((const struct ipc_refusal *)answer)->reason);
		else
			snprintf(why, CP_DP_WHY_LEN, "%s refused: %s", ipc_type_name(type),
			         strerror(-header->status));
		return header->status;
	}
	snprintf(why, CP_DP_WHY_LEN, "no answer to %s: %s", ipc_type_name(type), strerror(-rc));
	return rc;
}

/* ---- from connected to ready ---- */

static int greet(struct cp_dp *client, struct ipc_hello *theirs, char why[CP_DP_WHY_LEN])
{
	struct ipc_hello ours = {
		.magic = IPC_MAGIC,
		.major = IPC_VERSION_MAJOR,
		.minor = IPC_VERSION_MINOR,
		.epoch = client->epoch,
		.pid = (uint32_t)getpid(),
	};
	const int64_t deadline_ms = now_ms() + CP_DP_CALL_TIMEOUT_MS;
	const struct ipc_header *header;
	const void *body;
	int rc;

	memcpy(ours.instance, client->instance, sizeof(ours.instance));
	rc = ipc_send(client->fd, IPC_HELLO, 0, 0, 0, &ours, sizeof(ours), NULL, 0);
	if (rc == 0)
		rc = receive(client, deadline_ms, &header, &body);
	if (rc != 0) {
		snprintf(why, CP_DP_WHY_LEN, "the dataplane does not answer: %s", strerror(-rc));
		return rc;
	}
	if (header->type != IPC_HELLO) {
		snprintf(why, CP_DP_WHY_LEN, "%s does not begin with HELLO", client->socket_path);
		return -EPROTO;
	}
	memcpy(theirs, body, sizeof(*theirs));
	rc = ipc_hello_check(theirs, client->instance);
	if (rc == -EXDEV)
		snprintf(why, CP_DP_WHY_LEN, "the dataplane at %s belongs to instance %.31s",
		         client->socket_path, theirs->instance);
	else if (rc != 0)
		snprintf(why, CP_DP_WHY_LEN,
		         "the dataplane speaks version %u.%u of the contract, needed is %u.%u",
		         theirs->major, theirs->minor, IPC_VERSION_MAJOR, IPC_VERSION_MINOR);
	return rc;
}

/* The configuration in force, to be released. */
static const struct cp_config *take_config(struct cp_dp *client)
{
	const struct cp_config *config;

	pthread_mutex_lock(&client->lock);
	config = cp_config_hold(client->config);
	pthread_mutex_unlock(&client->lock);
	return config;
}

static void set_last_generation(struct cp_dp *client, uint64_t generation)
{
	pthread_mutex_lock(&client->lock);
	client->last_generation = generation;
	pthread_mutex_unlock(&client->lock);
}

/* Whether CONFIG, which was brought, is still the one in force: requests are served from now on. */
static bool set_ready(struct cp_dp *client, const struct cp_config *config,
                      const struct ipc_hello *theirs, uint64_t generation, const char *warning)
{
	bool is_new_epoch;

	pthread_mutex_lock(&client->lock);
	if (client->config != config) {
		pthread_mutex_unlock(&client->lock);
		return false;
	}
	is_new_epoch = client->state.epoch != theirs->epoch;
	client->state.is_connected = true;
	client->state.epoch = theirs->epoch;
	client->state.generation = generation;
	client->state.pid = theirs->pid;
	client->state.why[0] = 0;
	snprintf(client->state.warning, sizeof(client->state.warning), "%s", warning);
	pthread_mutex_unlock(&client->lock);
	client->last_why[0] = 0;
	sp_log(SP_LOG_INFO, "dp: connected pid=%u epoch=%016llx%s generation=%llu", theirs->pid,
	       (unsigned long long)theirs->epoch, is_new_epoch ? " (new)" : "",
	       (unsigned long long)generation);
	client->callbacks.ready(client->callbacks.context, is_new_epoch);
	return true;
}

/* Brings a fresh connection to where others may use it. */
static int prepare(struct cp_dp *client, char why[CP_DP_WHY_LEN])
{
	char warning[CP_DP_WHY_LEN] = "";
	struct ipc_hello theirs;
	uint64_t generation;
	bool is_ready = false;
	int rc = greet(client, &theirs, why);

	if (rc == 0)
		set_last_generation(client, theirs.generation);
	while (rc == 0 && !is_ready) { /* again where it was replaced meanwhile */
		const struct cp_config *config = take_config(client);

		why[0] = 0;
		rc = cp_dp_bring(client, config, &theirs, &generation, warning, why);
		if (rc == 0)
			is_ready = set_ready(client, config, &theirs, generation, warning);
		cp_config_release(config);
	}
	return rc;
}

/* Takes the connection away from everybody; those who wait for a reply get -ECONNRESET. */
static bool set_lost(struct cp_dp *client, const char *why)
{
	bool was_ready;
	int fd;

	pthread_mutex_lock(&client->lock);
	was_ready = client->state.is_connected;
	client->state.is_connected = false;
	snprintf(client->state.why, sizeof(client->state.why), "%s", why);
	fd = client->fd;
	client->fd = -1;
	cp_dp_waiters_end(&client->waiters, -ECONNRESET);
	if (fd >= 0)
		close(fd);
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
	return was_ready;
}

static int open_connection(struct cp_dp *client, char why[CP_DP_WHY_LEN])
{
	int fd = ipc_connect(client->socket_path);

	if (fd < 0) {
		snprintf(why, CP_DP_WHY_LEN, "the dataplane is not there: %.100s: %s%s%.160s",
		         client->socket_path, strerror(-fd),
		         client->refusal[0] ? "; before it ended it said: " : "", client->refusal);
		return fd;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	pthread_mutex_lock(&client->lock);
	if (client->pause) {
		close(fd);
		fd = -ECANCELED;
	} else {
		client->fd = fd;
	}
	pthread_mutex_unlock(&client->lock);
	return fd < 0 ? fd : 0;
}

/* While paused: waits. */
static void wait_for_turn(struct cp_dp *client)
{
	pthread_mutex_lock(&client->lock);
	while (client->pause)
		pthread_cond_wait(&client->changed, &client->lock);
	pthread_mutex_unlock(&client->lock);
}

/* One connection from its beginning to its end. Returns whether it ever served requests. */
static bool run_connection(struct cp_dp *client)
{
	char why[CP_DP_WHY_LEN] = "";
	bool was_ready;
	int rc = open_connection(client, why);

	if (rc == 0)
		rc = prepare(client, why);
	if (rc == 0) {
		while (rc == 0) {
			const struct ipc_header *header;
			const void *body;

			rc = receive(client, -1, &header, &body);
			if (rc == 0)
				dispatch(client, header, body);
		}
		snprintf(why, sizeof(why), "the connection to the dataplane ended: %s",
		         strerror(-rc));
	}
	pthread_mutex_lock(&client->lock);
	if (client->pause)
		snprintf(why, sizeof(why), "%s", client->pause);
	pthread_mutex_unlock(&client->lock);
	was_ready = set_lost(client, why);
	if (strcmp(client->last_why, why) != 0) { /* the same reason is said once */
		sp_log(SP_LOG_WARN, "dp: waiting for the dataplane reason=\"%s\"", why);
		memcpy(client->last_why, why, sizeof(client->last_why));
	}
	if (was_ready)
		client->callbacks.lost(client->callbacks.context);
	return was_ready;
}

static void *run(void *argument)
{
	struct cp_dp *client = argument;
	unsigned pause_ms = CONNECT_PAUSE_MIN_MS;

	for (;;) {
		wait_for_turn(client);
		if (run_connection(client))
			pause_ms = CONNECT_PAUSE_MIN_MS;
		nanosleep(&(struct timespec){ pause_ms / 1000, (pause_ms % 1000) * 1000000L },
		          NULL);
		pause_ms =
			pause_ms * 2 < CONNECT_PAUSE_MAX_MS ? pause_ms * 2 : CONNECT_PAUSE_MAX_MS;
	}
	return NULL;
}

/* ---- public ---- */

int cp_dp_create(const struct cp_dp_options *options, struct cp_dp **client)
{
	struct cp_dp *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	snprintf(new->socket_path, sizeof(new->socket_path), "%s", options->socket_path);
	strncpy(new->instance, options->instance, sizeof(new->instance) - 1);
	new->epoch = options->epoch;
	new->config = cp_config_hold(options->config);
	new->fd = new->descriptor = -1;
	snprintf(new->state.why, sizeof(new->state.why), "not connected yet");
	pthread_mutex_init(&new->lock, NULL);
	pthread_cond_init(&new->changed, NULL);
	cp_dp_waiters_init(&new->waiters);
	*client = new;
	return 0;
}

int cp_dp_start(struct cp_dp *client, const struct cp_dp_callbacks *callbacks)
{
	client->callbacks = *callbacks;
	return -pthread_create(&client->thread, NULL, run, client);
}

void cp_dp_pause(struct cp_dp *client, const char *why)
{
	pthread_mutex_lock(&client->lock);
	client->pause = why;
	while (client->fd >= 0) {
		shutdown(client->fd, SHUT_RDWR); /* its thread notices, and closes it */
		pthread_cond_wait(&client->changed, &client->lock);
	}
	snprintf(client->state.why, sizeof(client->state.why), "%s", why);
	pthread_mutex_unlock(&client->lock);
}

void cp_dp_resume(struct cp_dp *client)
{
	pthread_mutex_lock(&client->lock);
	client->pause = NULL;
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
}

void cp_dp_state(struct cp_dp *client, struct cp_dp_state *state)
{
	pthread_mutex_lock(&client->lock);
	*state = client->state;
	pthread_mutex_unlock(&client->lock);
}

/* One request for WAITER, whose reply is wanted as it says. */
static int exchange(struct cp_dp *client, struct cp_dp_waiter *waiter, uint16_t type,
                    const void *body, size_t body_length, int timeout_ms)
{
	const int64_t deadline_ms = now_ms() + timeout_ms;
	int rc = -ENOTCONN;

	waiter->descriptor = -1;
	pthread_mutex_lock(&client->lock);
	if (client->state.is_connected) {
		waiter->seq = take_seq(client);
		cp_dp_waiters_add(&client->waiters, waiter);
		rc = send_locked(client, type, waiter->seq, body, body_length, deadline_ms);
		if (rc == 0)
			rc = cp_dp_waiters_wait(&client->waiters, waiter, &client->lock,
			                        deadline_ms);
		cp_dp_waiters_del(&client->waiters, waiter);
	}
	pthread_mutex_unlock(&client->lock);
	return rc;
}

int cp_dp_exchange_within(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
                          void *reply, size_t reply_size, size_t *reply_length, int timeout_ms)
{
	struct cp_dp_waiter waiter = { .reply = reply, .reply_size = reply_size };
	int rc;

	if (reply)
		memset(reply, 0, reply_size);
	rc = exchange(client, &waiter, type, body, body_length, timeout_ms);
	if (waiter.descriptor >= 0)
		close(waiter.descriptor);
	if (reply_length)
		*reply_length = waiter.reply_length;
	return rc;
}

int cp_dp_exchange(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
                   void *reply, size_t reply_size, size_t *reply_length)
{
	return cp_dp_exchange_within(client, type, body, body_length, reply, reply_size,
	                             reply_length, CP_DP_CALL_TIMEOUT_MS);
}

int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	return cp_dp_exchange(client, type, body, body_length, reply, reply_size, NULL);
}

int cp_dp_open_flow(struct cp_dp *client, struct ipc_flow *flow)
{
	const struct ipc_flow wanted = { .remote_be = flow->remote_be,
		                         .remote_port_be = flow->remote_port_be,
		                         .protocol = IPPROTO_TCP };
	struct cp_dp_waiter waiter = { .reply = flow, .reply_size = sizeof(*flow) };
	int rc = exchange(client, &waiter, IPC_FLOW_SET, &wanted, sizeof(wanted),
	                  CP_DP_CALL_TIMEOUT_MS);

	if (rc == 0 && waiter.descriptor < 0)
		return -EPROTO;
	return rc ? rc : waiter.descriptor;
}

void cp_dp_close_flow(struct cp_dp *client, const struct ipc_flow *flow)
{
	/* if nobody hears it, the flow ends a while after its last packet */
	cp_dp_call(client, IPC_FLOW_DEL, flow, sizeof(*flow), NULL, 0);
}

static int send_one_way(struct cp_dp *client, uint16_t type, const struct ipc_punt *punt,
                        const void *payload)
{
	int rc = -ENOTCONN;

	pthread_mutex_lock(&client->lock);
	if (client->state.is_connected)
		rc = ipc_send(client->fd, type, 0, 0, 0, punt, sizeof(*punt), payload,
		              punt->length);
	pthread_mutex_unlock(&client->lock);
	return rc;
}

int cp_dp_send_datagram(struct cp_dp *client, const struct ipc_punt *punt, const void *payload)
{
	return send_one_way(client, IPC_PUNT_TX, punt, payload);
}

int cp_dp_open_packet(struct cp_dp *client, const struct ipc_punt *punt, const void *packet)
{
	return send_one_way(client, IPC_STREAM_TX, punt, packet);
}
