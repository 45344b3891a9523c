/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN over TCP: one thread, one lock. A connection is found by its number each time, so nothing
 * that was closed meanwhile is touched.
 */
#include "controlplane/ovpn_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/log.h"

#define PREFIX 2u
#define READ_ROOM 65536u
#define READS_AT_ONCE 4u   /* of a connection, before the others have their turn */
#define WRITE_ROOM 32768u  /* what the kernel does not take at once: control packets */
#define SEND_BUFFER 524288 /* bytes that may wait in the kernel: it bounds the delay */
#define EVENTS_AT_ONCE 16

struct stream {
	uint32_t number;
	int fd;
	uint16_t own_port_be;
	struct ipc_punt from;
	bool is_open;
	bool is_broken;
	bool is_forgotten; /* what it drops is of no tunnel any more */
	uint64_t dropped;  /* data packets */
	size_t in_length;
	size_t out_length;
	uint8_t in[READ_ROOM];
	uint8_t out[WRITE_ROOM]; /* begins inside of a packet */
	struct stream *next;
};

/* What connections dropped that were closed, by their tunnel. */
struct total {
	uint16_t port_be;
	uint64_t dropped;
	struct total *next;
};

struct cp_ovpn_streams {
	struct cp_ovpn_stream_calls calls;
	void *context;
	int epoll;
	pthread_t thread;
	pthread_mutex_t lock; /* what follows */
	struct stream *list;  /* the newest first */
	struct total *totals;
};

int cp_ovpn_deframe(const uint8_t *bytes, size_t length)
{
	unsigned packet;

	if (length < PREFIX)
		return 0;
	packet = (unsigned)bytes[0] << 8 | bytes[1];
	if (packet == 0 || packet > CP_OVPN_STREAM_PACKET_MAX)
		return -EPROTO;
	return length - PREFIX < packet ? 0 : (int)packet;
}

static struct stream *find(const struct cp_ovpn_streams *streams, uint32_t number)
{
	struct stream *s = streams->list;

	while (s && s->number != number)
		s = s->next;
	return s;
}

static void watch(const struct cp_ovpn_streams *streams, const struct stream *s, int operation)
{
	struct epoll_event event = { .data.u32 = s->number };

	if (!s->is_broken)
		event.events = EPOLLIN | (s->is_open && !s->out_length ? 0u : EPOLLOUT);
	if (s->is_broken && operation == EPOLL_CTL_MOD)
		operation = EPOLL_CTL_DEL;
	if (epoll_ctl(streams->epoll, operation, s->fd, &event) != 0)
		sp_log(SP_LOG_ERR, "ovpn: a connection cannot be waited for error=%s",
		       strerror(errno));
}

static void break_off(struct cp_ovpn_streams *streams, struct stream *s, const char *why)
{
	s->is_broken = true;
	watch(streams, s, EPOLL_CTL_MOD);
	streams->calls.broken(streams->context, s->number, why);
}

static void break_by_errno(struct cp_ovpn_streams *streams, struct stream *s, int error)
{
	char why[CP_OVPN_STREAM_WHY];

	snprintf(why, sizeof(why), "the TCP connection %s: %s",
	         s->is_open ? "was lost" : "could not be made", strerror(error));
	break_off(streams, s, why);
}

/* ---- writing ---- */

/* As much of FROM as the kernel takes now; -errno. */
static ssize_t write_some(const struct stream *s, const struct iovec *parts, int count)
{
	const struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)parts,
		                        .msg_iovlen = (size_t)count };
	ssize_t written;

	do {
		written = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (written < 0 && errno == EINTR);
	if (written < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return written;
}

/* Keeps the packet but for its first DONE bytes, length included. */
static void keep_rest(struct stream *s, const uint8_t prefix[PREFIX], const uint8_t *packet,
                      size_t length, size_t done)
{
	if (done < PREFIX) {
		memcpy(s->out + s->out_length, prefix + done, PREFIX - done);
		s->out_length += PREFIX - done;
		done = PREFIX;
	}
	memcpy(s->out + s->out_length, packet + (done - PREFIX), length - (done - PREFIX));
	s->out_length += length - (done - PREFIX);
}

enum urgency { DATA, CONTROL };

/* With the lock held. What was begun is always finished: the other side would not understand the
 * rest. What fails is noticed by the thread. */
static int send_packet(struct cp_ovpn_streams *streams, struct stream *s, const uint8_t *packet,
                       size_t length, enum urgency urgency)
{
	uint8_t prefix[PREFIX] = { (uint8_t)(length >> 8), (uint8_t)length };
	const struct iovec parts[] = { { prefix, PREFIX }, { (void *)(uintptr_t)packet, length } };
	ssize_t written = 0;

	if (!s->is_open || s->is_broken)
		return -ENOTCONN;
	if (length == 0 || length > CP_OVPN_STREAM_PACKET_MAX)
		return -EMSGSIZE;
	if (!s->out_length) {
		written = write_some(s, parts, 2);
		if (written == (ssize_t)(PREFIX + length))
			return 0;
		if (written == -EAGAIN)
			written = 0;
		if (written < 0)
			return -ENOTCONN;
	}
	if (written == 0 && (urgency == DATA || PREFIX + length > sizeof(s->out) - s->out_length))
		return -EAGAIN;
	keep_rest(s, prefix, packet, length, (size_t)written);
	watch(streams, s, EPOLL_CTL_MOD);
	return 0;
}

/* The kernel has room again. */
static void write_rest(struct cp_ovpn_streams *streams, struct stream *s)
{
	const struct iovec rest = { s->out, s->out_length };
	ssize_t written = s->out_length ? write_some(s, &rest, 1) : 0;

	if (written == -EAGAIN)
		return;
	if (written < 0) {
		break_by_errno(streams, s, (int)-written);
		return;
	}
	s->out_length -= (size_t)written;
	memmove(s->out, s->out + written, s->out_length);
	watch(streams, s, EPOLL_CTL_MOD);
}

/* ---- reading ---- */

static void deliver(struct cp_ovpn_streams *streams, struct stream *s)
{
	size_t at = 0;
	int length;

	while ((length = cp_ovpn_deframe(s->in + at, s->in_length - at)) > 0) {
		s->from.length = (uint32_t)length;
		streams->calls.packet(streams->context, s->number, &s->from, s->in + at + PREFIX);
		at += PREFIX + (size_t)length;
	}
	s->in_length -= at;
	memmove(s->in, s->in + at, s->in_length);
	if (length < 0)
		break_off(streams, s, "what answers there over TCP does not speak OpenVPN");
}

static void read_some(struct cp_ovpn_streams *streams, struct stream *s)
{
	for (unsigned i = 0; i < READS_AT_ONCE && !s->is_broken; i++) {
		ssize_t length = recv(s->fd, s->in + s->in_length, sizeof(s->in) - s->in_length, 0);

		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (length < 0) {
			break_by_errno(streams, s, errno);
			return;
		}
		if (length == 0) {
			break_off(streams, s, "the server closed the TCP connection");
			return;
		}
		s->in_length += (size_t)length;
		deliver(streams, s);
	}
}

static void finish_connect(struct cp_ovpn_streams *streams, struct stream *s)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error) {
		break_by_errno(streams, s, error);
		return;
	}
	s->is_open = true;
	watch(streams, s, EPOLL_CTL_MOD);
	streams->calls.open(streams->context, s->number);
}

static void serve(struct cp_ovpn_streams *streams, struct stream *s, uint32_t events)
{
	if (!s->is_open)
		finish_connect(streams, s);
	else if (events & EPOLLOUT)
		write_rest(streams, s);
	if (s->is_open && !s->is_broken && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_some(streams, s);
}

static void *run(void *argument)
{
	struct cp_ovpn_streams *streams = argument;

	for (;;) {
		struct epoll_event events[EVENTS_AT_ONCE];
		int n = epoll_wait(streams->epoll, events, EVENTS_AT_ONCE, -1);

		for (int i = 0; i < n; i++) {
			struct stream *s;

			pthread_mutex_lock(&streams->lock);
			s = find(streams, events[i].data.u32);
			if (s && !s->is_broken)
				serve(streams, s, events[i].events);
			pthread_mutex_unlock(&streams->lock);
		}
	}
	return NULL;
}

/* ---- public ---- */

int cp_ovpn_streams_start(const struct cp_ovpn_stream_calls *calls, void *context,
                          struct cp_ovpn_streams **streams)
{
	struct cp_ovpn_streams *new = calloc(1, sizeof(*new));
	int rc;

	if (!new)
		return -ENOMEM;
	new->calls = *calls;
	new->context = context;
	pthread_mutex_init(&new->lock, NULL);
	new->epoll = epoll_create1(EPOLL_CLOEXEC);
	rc = new->epoll < 0 ? -errno : -pthread_create(&new->thread, NULL, run, new);
	if (rc == 0) {
		*streams = new;
		return 0;
	}
	if (new->epoll >= 0)
		close(new->epoll);
	free(new);
	return rc;
}

int cp_ovpn_streams_connect(struct cp_ovpn_streams *streams, uint32_t number, int socket,
                            const struct ipc_punt *from, uint16_t own_port_be)
{
	const struct sockaddr_in remote = { .sin_family = AF_INET,
		                            .sin_port = from->source_port_be,
		                            .sin_addr.s_addr = from->source_be };
	struct stream *s = calloc(1, sizeof(*s));
	int rc = s ? 0 : -ENOMEM;

	/* packets go at once, and what waits is bounded: both are to keep delay low */
	if (rc == 0 &&
	    (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) != 0 ||
	     setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &(int){ SEND_BUFFER }, sizeof(int)) != 0))
		rc = -errno;
	if (rc == 0 && connect(socket, (const struct sockaddr *)&remote, sizeof(remote)) != 0 &&
	    errno != EINPROGRESS)
		rc = -errno;
	if (rc != 0) {
		free(s);
		close(socket);
		return rc;
	}
	s->number = number;
	s->fd = socket;
	s->own_port_be = own_port_be;
	s->from = *from;
	pthread_mutex_lock(&streams->lock);
	s->next = streams->list;
	streams->list = s;
	watch(streams, s, EPOLL_CTL_ADD);
	pthread_mutex_unlock(&streams->lock);
	return 0;
}

/* With the lock held. Where there is no memory, it is in the log alone. */
static void remember_dropped(struct cp_ovpn_streams *streams, const struct stream *s)
{
	struct total *total = streams->totals;

	if (s->is_forgotten)
		return;
	while (total && total->port_be != s->from.destination_port_be)
		total = total->next;
	if (!total && s->dropped && (total = calloc(1, sizeof(*total)))) {
		total->port_be = s->from.destination_port_be;
		total->next = streams->totals;
		streams->totals = total;
	}
	if (total)
		total->dropped += s->dropped;
}

void cp_ovpn_streams_close(struct cp_ovpn_streams *streams, uint32_t number)
{
	struct stream **at, *s;

	pthread_mutex_lock(&streams->lock);
	at = &streams->list;
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	s = *at;
	if (s) {
		*at = s->next;
		remember_dropped(streams, s);
	}
	pthread_mutex_unlock(&streams->lock);
	if (!s)
		return;
	if (s->dropped)
		sp_log(SP_LOG_INFO, "ovpn: a TCP connection was too slow at times dropped=%llu",
		       (unsigned long long)s->dropped);
	close(s->fd);
	free(s);
}

int cp_ovpn_streams_send(struct cp_ovpn_streams *streams, uint32_t number, const uint8_t *packet,
                         size_t length)
{
	struct stream *s;
	int rc;

	pthread_mutex_lock(&streams->lock);
	s = find(streams, number);
	rc = s ? send_packet(streams, s, packet, length, CONTROL) : -ENOTCONN;
	pthread_mutex_unlock(&streams->lock);
	return rc;
}

static bool is_between(const struct stream *s, const struct ipc_punt *to)
{
	return s->own_port_be == to->source_port_be && s->from.source_be == to->destination_be &&
	       s->from.source_port_be == to->destination_port_be;
}

int cp_ovpn_streams_send_data(struct cp_ovpn_streams *streams, const struct ipc_punt *to,
                              const uint8_t *packet)
{
	struct stream *s;
	int rc;

	pthread_mutex_lock(&streams->lock);
	s = streams->list;
	while (s && !is_between(s, to))
		s = s->next;
	rc = s ? send_packet(streams, s, packet, to->length, DATA) : -ENOTCONN;
	if (rc != 0 && s)
		s->dropped++;
	pthread_mutex_unlock(&streams->lock);
	return rc;
}

uint64_t cp_ovpn_streams_dropped(struct cp_ovpn_streams *streams, uint16_t port_be)
{
	uint64_t dropped = 0;

	pthread_mutex_lock(&streams->lock);
	for (const struct total *total = streams->totals; total; total = total->next)
		dropped += total->port_be == port_be ? total->dropped : 0;
	for (const struct stream *s = streams->list; s; s = s->next)
		if (s->from.destination_port_be == port_be && !s->is_forgotten)
			dropped += s->dropped;
	pthread_mutex_unlock(&streams->lock);
	return dropped;
}

void cp_ovpn_streams_forget(struct cp_ovpn_streams *streams, uint16_t port_be)
{
	struct total **at;

	pthread_mutex_lock(&streams->lock);
	for (struct stream *s = streams->list; s; s = s->next)
		s->is_forgotten |= s->from.destination_port_be == port_be;
	at = &streams->totals;
	while (*at) {
		struct total *total = *at;

		if (total->port_be != port_be) {
			at = &total->next;
			continue;
		}
		*at = total->next;
		free(total);
	}
	pthread_mutex_unlock(&streams->lock);
}
